#include "host/convert/stack_report.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace d2c::host {
namespace {

/// The last part of a path or id.
std::string short_name(const std::string& path) {
  const std::filesystem::path p(path);
  return (p.has_filename() ? p : p.parent_path()).filename().string();
}

/// "llama + style x 0.5": what a stack's functions are to equal, but for rounding and quantization.
std::string sum_of(const Recipe& recipe, const std::string& model, const std::string& stack) {
  std::ostringstream text;
  text << short_name(model);
  for (const AdapterSection& adapter : recipe.adapters) {
    if (adapter.stack != stack) continue;
    text << " + " << short_name(adapter.path);
    if (adapter.weight != 1) text << " x " << adapter.weight;
  }
  return text.str();
}

std::string encoder_reference(const Recipe& recipe, WeightPolicy policy) {
  if (policy == WeightPolicy::shared) return sum_of(recipe, recipe.model.source, "chat");
  return sum_of(recipe, recipe.encoder.text_or("model", recipe.model.source), "encoder");
}

}  // namespace

Value describe_encoder_policies(const Recipe& recipe, const Assembly& assembly) {
  Value policies = Value::list();
  const bool encodes = std::any_of(recipe.functions.begin(), recipe.functions.end(),
                                   [](const FunctionSection& f) { return f.stack == "encoder"; });
  if (!encodes) return policies;
  for (const WeightPolicy policy : {WeightPolicy::shared, WeightPolicy::shared_with_adapter, WeightPolicy::separate}) {
    Value v = Value::table();
    v.set("weights", name_of(policy));
    v.set("chosen", policy == assembly.inputs().encoder_weights);
    if (const std::string objection = objection_to(policy, assembly.inputs()); !objection.empty()) {
      v.set("objection", objection);
    } else {
      v.set("bytes", assembly.encoder_bytes(policy));
      v.set("reference", encoder_reference(recipe, policy));
    }
    policies.push_back(std::move(v));
  }
  return policies;
}

Value describe_variants(const Recipe& recipe, const Assembly& assembly) {
  Value variants = Value::list();
  for (const Variant& variant : assembly.inputs().variants) {
    Value v = Value::table();
    v.set("name", variant.name);
    v.set("weights", name_of(variant.weights));
    v.set("reference", sum_of(recipe, recipe.model.source, variant.name));
    variants.push_back(std::move(v));
  }
  return variants;
}

}  // namespace d2c::host
