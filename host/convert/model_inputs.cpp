#include "host/convert/model_inputs.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

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
  options.set("combination", recipe.combine.combination);
  return bind_stack(recipe, name, plugins.create<d2c_adapter_merger>(plugin, options), base);
}

EncoderWeights choose_encoder_weights(const Recipe& recipe, const ModelInputs& inputs) {
  const std::string wanted = recipe.encoder.text_or("weights", "");
  const std::string where = recipe.origin_of("encoder.weights").text + ": encoder.weights = ";
  const bool low_rank = (!inputs.encoder || inputs.encoder->low_rank()) && (!inputs.chat || inputs.chat->low_rank());
  if (inputs.encoder_model && !wanted.empty() && wanted != "separate")
    fail_usage(where + "\"" + wanted +
               "\" reads the chat model, but encoder.model names another; use \"separate\" or drop encoder.model");
  if (wanted == "separate" || (wanted.empty() && inputs.encoder_model)) return EncoderWeights::separate;
  if (wanted == "shared") {
    if (inputs.encoder)
      fail_usage(where + "\"shared\" would leave the encoder adapters out; use \"shared+adapter\" or \"separate\"");
    return EncoderWeights::shared;
  }
  if (wanted == "shared+adapter") {
    if (!inputs.encoder)
      fail_usage(where + "\"shared+adapter\" needs an encoder adapter: add [[adapter]] with stack = \"encoder\"");
    if (!low_rank)
      fail_usage(where +
                 "\"shared+adapter\" needs low-rank adapters, but one of these replaces or rescales weights; use "
                 "\"separate\"");
    return EncoderWeights::shared_with_adapter;
  }
  if (!inputs.encoder) return EncoderWeights::shared;
  return low_rank ? EncoderWeights::shared_with_adapter : EncoderWeights::separate;
}

}  // namespace

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
  if (encodes) inputs.encoder = open_stack(recipe, plugins, "encoder", inputs.encoder_base());
  inputs.encoder_weights = choose_encoder_weights(recipe, inputs);
  return inputs;
}

}  // namespace d2c::host
