#include "host/convert/model_inputs.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

constexpr const char* kNotLowRank =
    "needs low-rank adapters, but one of these replaces or rescales weights; use \"separate\"";

std::unique_ptr<Source> open_source(const Recipe& recipe, PluginRegistry& plugins, const std::string& where,
                                    const std::string& path, const std::string& plugin_name, const Value& options) {
  if (path.empty())
    fail_usage("no model: set " + where +
               ".source in the recipe, or pass --model with a directory, a .gguf file or a hub id");
  const auto plugin = plugin_name.empty() ? plugins.probe(D2C_WEIGHT_SOURCE, path) : plugins.find(plugin_name);
  Value checked = check_options(recipe, where, options, plugin->options(D2C_WEIGHT_SOURCE));
  checked.set("path", path);
  return std::make_unique<Source>(plugins.create<d2c_weight_source>(plugin, checked));
}

TiedPolicy tied_policy(const Recipe& recipe) {
  return recipe.combine.tied == "shared" ? TiedPolicy::shared : TiedPolicy::untie;
}

/// A refused adapter may be one of a head that the recipe's own policy denies the model: then the message says so.
std::unique_ptr<AdapterStack> bind_stack(const Recipe& recipe, const std::string& name,
                                         Handle<d2c_adapter_merger> merger, const Source& base) {
  const TiedPolicy tied = tied_policy(recipe);
  try {
    return std::make_unique<AdapterStack>(name, std::move(merger), base, tied);
  } catch (const Error& e) {
    if (tied == TiedPolicy::untie || !base.tied()) throw;
    throw Error(e.code(), std::string(e.what()) + "; adapters.tied = \"shared\" (" +
                              recipe.origin_of("adapters.tied").text + ") makes " + kHead + " one with " + kEmbedding +
                              ": set it to \"untie\" to apply an adapter of the head");
  }
}

std::unique_ptr<AdapterStack> open_stack(const Recipe& recipe, PluginRegistry& plugins, const std::string& name,
                                         const Source& base) {
  std::string plugin_name = recipe.combine.plugin;
  Value adapters = Value::list();
  for (std::size_t i = 0; i < recipe.adapters.size(); ++i) {
    const AdapterSection& adapter = recipe.adapters[i];
    if (adapter.stack != name) continue;
    Value entry = Value::table();
    entry.set("path", recipe.folder_of("adapter[" + std::to_string(i) + "].path", adapter.path));
    entry.set("weight", adapter.weight);
    adapters.push_back(std::move(entry));
    if (!adapter.plugin.empty()) plugin_name = adapter.plugin;
  }
  if (adapters.items().empty()) return nullptr;
  const auto plugin = plugins.find(plugin_name);
  Value options = check_options(recipe, "adapters", recipe.combine.options, plugin->options(D2C_ADAPTER_MERGER));
  options.set("adapters", std::move(adapters));
  options.set("combination", recipe.combination_of(name));
  return bind_stack(recipe, name, plugins.create<d2c_adapter_merger>(plugin, options), base);
}

bool low_rank(const AdapterStack* stack) { return stack == nullptr || stack->low_rank(); }

WeightPolicy choose_encoder_weights(const Recipe& recipe, const ModelInputs& inputs) {
  const std::string wanted = recipe.encoder.text_or("weights", "");
  for (const WeightPolicy policy : {WeightPolicy::shared, WeightPolicy::shared_with_adapter, WeightPolicy::separate}) {
    const std::string objection = objection_to(policy, inputs);
    if (wanted.empty() ? objection.empty() : wanted == name_of(policy)) {
      if (objection.empty()) return policy;
      fail_usage(recipe.origin_of("encoder.weights").text + ": encoder.weights = \"" + wanted + "\" " + objection);
    }
  }
  return WeightPolicy::separate;
}

WeightPolicy choose_variant_weights(const Recipe& recipe, std::size_t index, const Variant& variant,
                                    const AdapterStack* chat) {
  const std::string& wanted = recipe.variants[index].weights;
  const bool linear = low_rank(variant.stack.get()) && low_rank(chat);
  if (wanted == name_of(WeightPolicy::shared_with_adapter) && !linear)
    fail_usage(recipe.origin_of("variant[" + std::to_string(index) + "].weights").text + ": variant '" + variant.name +
               "': weights = \"shared+adapter\" " + kNotLowRank);
  if (!wanted.empty())
    return wanted == name_of(WeightPolicy::separate) ? WeightPolicy::separate : WeightPolicy::shared_with_adapter;
  return linear ? WeightPolicy::shared_with_adapter : WeightPolicy::separate;
}

std::vector<Variant> open_variants(const Recipe& recipe, PluginRegistry& plugins, const ModelInputs& inputs) {
  std::vector<Variant> variants;
  for (std::size_t i = 0; i < recipe.variants.size(); ++i) {
    const VariantSection& section = recipe.variants[i];
    Variant variant{section.name, open_stack(recipe, plugins, section.name, *inputs.model)};
    variant.weights = choose_variant_weights(recipe, i, variant, inputs.chat.get());
    variants.push_back(std::move(variant));
  }
  return variants;
}

}  // namespace

const char* name_of(WeightPolicy policy) {
  switch (policy) {
    case WeightPolicy::shared: return "shared";
    case WeightPolicy::shared_with_adapter: return "shared+adapter";
    default: return "separate";
  }
}

std::vector<const AdapterStack*> ModelInputs::stacks() const {
  std::vector<const AdapterStack*> all{chat.get(), encoder.get()};
  for (const Variant& variant : variants) all.push_back(variant.stack.get());
  std::erase(all, nullptr);
  return all;
}

std::string objection_to(WeightPolicy policy, const ModelInputs& inputs) {
  if (policy == WeightPolicy::separate) return {};
  if (inputs.encoder_model)
    return "reads the chat model, but encoder.model names another; use \"separate\" or drop encoder.model";
  if (policy == WeightPolicy::shared)
    return inputs.encoder ? "would leave the encoder adapters out; use \"shared+adapter\" or \"separate\"" : "";
  if (!inputs.encoder && !inputs.chat) return "needs an adapter: add [[adapter]] with stack = \"encoder\"";
  return low_rank(inputs.encoder.get()) && low_rank(inputs.chat.get()) ? "" : kNotLowRank;
}

ModelInputs open_inputs(const Recipe& recipe, PluginRegistry& plugins) {
  ModelInputs inputs;
  inputs.tied = tied_policy(recipe);
  inputs.model = open_source(recipe, plugins, "model", recipe.folder_of("model.source", recipe.model.source),
                             recipe.model.plugin, recipe.model.options);
  const bool encodes = std::any_of(recipe.functions.begin(), recipe.functions.end(),
                                   [](const FunctionSection& f) { return f.stack == "encoder"; });
  if (const std::string other = recipe.encoder.text_or("model", ""); encodes && !other.empty())
    inputs.encoder_model =
        open_source(recipe, plugins, "encoder", recipe.folder_of("encoder.model", other), "", Value::table());
  inputs.chat = open_stack(recipe, plugins, "chat", *inputs.model);
  if (encodes) {
    inputs.encoder = open_stack(recipe, plugins, "encoder", inputs.encoder_base());
    inputs.encoder_weights = choose_encoder_weights(recipe, inputs);
  }
  inputs.variants = open_variants(recipe, plugins, inputs);
  return inputs;
}

}  // namespace d2c::host
