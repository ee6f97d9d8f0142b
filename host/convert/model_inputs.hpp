// Everything a recipe reads: weight sources and adapter stacks, opened and bound.
#pragma once

#include "host/loader/plugin_registry.hpp"
#include "host/planner/adapter_stack.hpp"
#include "host/planner/source.hpp"
#include "host/recipe/recipe.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace d2c::host {

/// Where the weights of functions on another stack than "chat" come from.
enum class WeightPolicy {
  shared,               ///< the chat weights themselves
  shared_with_adapter,  ///< the chat weights plus unmerged low-rank changes
  separate,             ///< weights of their own
};

/// "shared", "shared+adapter", "separate".
[[nodiscard]] const char* name_of(WeightPolicy policy);

/// A [[variant]]: the chat functions once more, with other adapters.
struct Variant {
  std::string name;
  std::unique_ptr<AdapterStack> stack;  ///< null: the base without the chat adapters
  WeightPolicy weights = WeightPolicy::shared;
};

struct ModelInputs {
  std::unique_ptr<Source> model;
  std::unique_ptr<Source> encoder_model;  ///< only where the encoder has a base of its own
  std::unique_ptr<AdapterStack> chat;     ///< null without chat adapters
  std::unique_ptr<AdapterStack> encoder;  ///< null without encoder adapters
  WeightPolicy encoder_weights = WeightPolicy::shared;
  std::vector<Variant> variants;
  TiedPolicy tied = TiedPolicy::untie;

  [[nodiscard]] const Source& encoder_base() const { return encoder_model ? *encoder_model : *model; }
  /// Every stack that has adapters: chat, encoder, then the variants'.
  [[nodiscard]] std::vector<const AdapterStack*> stacks() const;
};

/// Why the encoder cannot have its weights that way; empty where it can.
[[nodiscard]] std::string objection_to(WeightPolicy policy, const ModelInputs& inputs);

/// Reads headers and adapters. Errors name the recipe key or the file.
[[nodiscard]] ModelInputs open_inputs(const Recipe& recipe, PluginRegistry& plugins);

}  // namespace d2c::host
