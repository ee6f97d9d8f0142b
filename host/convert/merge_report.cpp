#include "host/convert/merge_report.hpp"

#include "host/log/log.hpp"

#include <cstdio>
#include <map>
#include <string>
#include <utility>

namespace d2c::host {
namespace {

struct StackProof {
  MergeProof sum;
  std::int64_t tensors = 0;
};

Value to_value(const MergeProof& proof) {
  Value v = proof.report();
  v.set("share_rounded", proof.share_rounded());
  return v;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", share * 100);
  return text;
}

/// Empty where enough of the change survives.
std::string loss_of(const std::string& stack, const MergeProof& proof) {
  if (proof.intended == 0 || proof.share() >= kLeastShare) return {};
  const std::string lost = "stack " + stack + ": only " + percent(proof.share()) + " of the adapters' change survives ";
  if (proof.share_rounded() < kLeastShare)
    return lost + "the rounding to fp16: it is smaller than the steps between the weights' values";
  return lost + "the quantization, which " + percent(proof.share_rounded()) +
         " reached: the change is smaller than the steps between palette entries; use more bits (a base that was "
         "quantized before has its values on just such steps)";
}

}  // namespace

void add_merge_proof(Value& report, const Assembly& assembly, std::span<const WeightResult> results) {
  std::map<std::string, StackProof> stacks;
  auto& weights = report.find("weights")->items();
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!results[i].merge) continue;
    weights[i].set("merge", to_value(*results[i].merge));
    StackProof& stack = stacks[assembly.weights()[i]->merged->name()];
    stack.sum += *results[i].merge;
    ++stack.tensors;
  }
  Value merge = Value::table();
  for (const auto& [name, stack] : stacks) {
    Value v = to_value(stack.sum);
    v.set("tensors", stack.tensors);
    merge.set(name, std::move(v));
    const std::string loss = loss_of(name, stack.sum);
    if (loss.empty()) continue;
    log::warn(loss);
    report.find("notes")->push_back(loss);
  }
  report.set("merge", std::move(merge));
}

}  // namespace d2c::host
