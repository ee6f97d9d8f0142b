// How several adapters become one list of changes.
#pragma once

#include "plugins/lora_unsloth/adapter.hpp"

#include <string>
#include <vector>

namespace d2c::lora {

enum class Combination {
  sequential,  ///< one after another
  cat,         ///< the weighted sum of the low-rank changes
  linear,      ///< weighted sums of the factors; with cross terms, as PEFT does it
};

/// Throws Error(usage) for a name that is unknown or not supported.
[[nodiscard]] Combination parse_combination(const std::string& name);

/// All changes of the stack, one entry per tensor, in the base's order.
[[nodiscard]] std::vector<TensorChanges> combine(const std::vector<Adapter>& adapters, Combination combination,
                                                 const BaseIndex& base);

}  // namespace d2c::lora
