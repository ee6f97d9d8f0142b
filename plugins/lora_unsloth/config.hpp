// adapter_config.json of PEFT and Unsloth, checked and typed. Whatever would change the result and is not supported is
// refused by name.
#pragma once

#include "plugins/lora_unsloth/pattern.hpp"

#include <d2c/value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace d2c::lora {

/// Which modules an adapter touches: names (a suffix after a dot is enough), one expression for the whole module path,
/// or every linear module but the output head.
struct ModuleSelector {
  bool all_linear = false;
  std::optional<Pattern> pattern;
  NameList list;

  [[nodiscard]] bool empty() const noexcept { return !all_linear && !pattern && list.names().empty(); }
};

/// Settings of single modules, in the file's order: the first whose pattern matches counts.
struct PatternSetting {
  Pattern pattern;
  double value = 0;
};

enum class BiasMode { none, all, lora_only };

/// OLoRA took a part out of the base before training, one that the base alone determines.
enum class Initialisation { plain, olora };

struct AdapterConfig {
  std::int64_t rank = 0;
  double alpha = 0;
  bool rank_stabilised = false;
  bool dora = false;
  bool lora_bias = false;
  bool ties_weights = false;  ///< ensure_weight_tying
  BiasMode bias = BiasMode::none;
  Initialisation initialisation = Initialisation::plain;
  ModuleSelector targets;
  ModuleSelector excluded;
  std::vector<std::int64_t> layers;     ///< layers_to_transform; empty: all
  std::vector<Pattern> layer_patterns;  ///< each captures the layer's number; tried in order
  std::vector<PatternSetting> rank_pattern;
  std::vector<PatternSetting> alpha_pattern;
  std::vector<std::string> modules_to_save;
  /// Token indices by module name; an empty name stands for the token embedding.
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> trainable_tokens;
  std::string base_model;
  std::vector<std::string> warnings;      ///< sentences for the user
  std::vector<std::string> unknown_keys;  ///< ignored, as PEFT ignores them

  [[nodiscard]] std::int64_t rank_of(std::string_view module) const;
  /// Of all that `r` and rank_pattern name.
  [[nodiscard]] std::int64_t largest_rank() const;
  /// What B*A is multiplied with.
  [[nodiscard]] double scaling_of(std::string_view module) const;
  /// Does the adapter's selection reach this module? `linear`: it may be meant by "all-linear".
  [[nodiscard]] bool targets_module(std::string_view module, bool linear) const;
};

/// `where` (the file) opens every error message; errors are Error(input).
[[nodiscard]] AdapterConfig parse_config(const Value& json, const std::string& where);

}  // namespace d2c::lora
