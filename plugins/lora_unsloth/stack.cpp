#include "plugins/lora_unsloth/stack.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace d2c::lora {
namespace {

/// PEFT adds factors with the square root of each weight on both sides; the sign goes on A.
void add_terms(LowRank& sum, const LowRank& part) {
  for (std::size_t i = 0; i < part.b.size(); ++i) {
    const double scale = part.b[i].scale * part.a[i].scale;
    const double root = std::sqrt(std::abs(scale));
    sum.b.push_back({part.b[i].tensor, root});
    sum.a.push_back({part.a[i].tensor, std::copysign(root, scale)});
  }
}

/// A combined adapter keeps use_rslora of the first one and takes its own rank as alpha.
void apply_inherited_scaling(LowRank& sum, const Adapter& first) {
  if (!first.config().rank_stabilised) return;
  for (Term& term : sum.b) term.scale *= std::sqrt(static_cast<double>(sum.rank));
}

void require_uniform_rank(const Adapter& adapter) {
  if (adapter.config().rank_pattern.empty() && adapter.config().alpha_pattern.empty()) return;
  fail_input(adapter.directory() +
             ": combination 'linear' with rank_pattern or alpha_pattern is not supported; use 'cat' or 'sequential'");
}

TensorChanges merge_linearly(const TensorChanges& all, const Adapter& first) {
  LowRank sum = std::get<LowRank>(all.changes.front());
  sum.a.clear();
  sum.b.clear();
  for (const Change& change : all.changes) {
    const auto& part = std::get<LowRank>(change);
    if (part.rank != sum.rank) {
      fail_input(all.tensor + ": combination 'linear' needs equal ranks, found " + std::to_string(sum.rank) + " and " +
                 std::to_string(part.rank) + "; use 'cat'");
    }
    add_terms(sum, part);
  }
  apply_inherited_scaling(sum, first);
  return {all.tensor, all.shape, {std::move(sum)}};
}

void require_low_rank(const Adapter& adapter, const std::vector<TensorChanges>& changes) {
  for (const TensorChanges& c : changes) {
    if (c.low_rank()) continue;
    fail_input(adapter.directory() +
               ": combinations 'cat' and 'linear' join plain low-rank adapters only, and this one changes " + c.tensor +
               " in another way; use 'sequential'");
  }
}

/// The norms that embedding DoRA needs are known only after one pass over the tensor; a second one would need another.
void require_one_pass(const TensorChanges& changes) {
  const auto passes = std::count_if(changes.changes.begin(), changes.changes.end(),
                                    [](const Change& c) { return std::holds_alternative<ColumnMagnitude>(c); });
  if (passes > 1)
    fail_input(changes.tensor + ": more than one adapter with DoRA on the embedding in a stack is not supported");
}

}  // namespace

Combination parse_combination(const std::string& name) {
  if (name == "sequential") return Combination::sequential;
  if (name == "cat") return Combination::cat;
  if (name == "linear") return Combination::linear;
  static constexpr std::array kUnsupported = {"svd",
                                              "ties",
                                              "ties_svd",
                                              "dare_ties",
                                              "dare_linear",
                                              "dare_ties_svd",
                                              "dare_linear_svd",
                                              "magnitude_prune",
                                              "magnitude_prune_svd"};
  if (std::find(kUnsupported.begin(), kUnsupported.end(), name) != kUnsupported.end()) {
    fail_usage(
        "combination '" + name +
        "' is not supported; combine the adapters with PEFT's add_weighted_adapter, save the result and use that");
  }
  fail_usage("combination '" + name + "' is none of sequential, cat, linear");
}

std::vector<TensorChanges> combine(const std::vector<Adapter>& adapters, Combination combination,
                                   const BaseIndex& base) {
  std::map<std::string, TensorChanges> by_tensor;
  for (const Adapter& adapter : adapters) {
    std::vector<TensorChanges> changes = adapter.bind(base);
    if (combination != Combination::sequential) require_low_rank(adapter, changes);
    if (combination == Combination::linear) require_uniform_rank(adapter);
    for (TensorChanges& c : changes) {
      TensorChanges& all = by_tensor.try_emplace(c.tensor, TensorChanges{c.tensor, c.shape, {}}).first->second;
      std::move(c.changes.begin(), c.changes.end(), std::back_inserter(all.changes));
    }
  }
  std::vector<TensorChanges> result;
  for (const std::string& tensor : base.tensors()) {
    const auto it = by_tensor.find(tensor);
    if (it == by_tensor.end()) continue;
    require_one_pass(it->second);
    result.push_back(combination == Combination::linear ? merge_linearly(it->second, adapters.front())
                                                        : std::move(it->second));
  }
  return result;
}

}  // namespace d2c::lora
