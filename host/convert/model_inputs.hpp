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

/// Where the weights of functions on the "encoder" stack come from.
enum class EncoderWeights {
  shared,               ///< the chat weights themselves
  shared_with_adapter,  ///< the chat weights plus unmerged low-rank changes
  separate,             ///< weights of their own
};

struct ModelInputs {
  std::unique_ptr<Source> model;
  std::unique_ptr<Source> encoder_model;  ///< only where the encoder has a base of its own
  std::unique_ptr<AdapterStack> chat;     ///< null without chat adapters
  std::unique_ptr<AdapterStack> encoder;  ///< null without encoder adapters
  EncoderWeights encoder_weights = EncoderWeights::shared;
  TiedPolicy tied = TiedPolicy::untie;

  [[nodiscard]] const Source& encoder_base() const { return encoder_model ? *encoder_model : *model; }
};

/// Reads headers and adapters. Errors name the recipe key or the file.
[[nodiscard]] ModelInputs open_inputs(const Recipe& recipe, PluginRegistry& plugins);

}  // namespace d2c::host
