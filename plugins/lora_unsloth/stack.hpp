// How several adapters become one list of changes.
#pragma once

#include "plugins/lora_unsloth/adapter.hpp"

#include <string>
#include <vector>

namespace d2c::lora {

struct Combination {
  enum class Kind {
    sequential,  ///< one after another
    cat,         ///< the weighted sum of the low-rank changes
    joined,      ///< one low-rank change made of all, as PEFT's add_weighted_adapter makes it
  };
  Kind kind = Kind::sequential;
  Join join = Join::sum;     ///< of `joined`; `sum` has cross terms
  bool of_products = false;  ///< `joined`: products are joined instead of factors, and brought to a rank
  JoinSettings settings;
  std::string name = "sequential";
};

/// Throws Error(usage) for a name that is unknown or not supported, and for settings out of range.
[[nodiscard]] Combination parse_combination(const std::string& name, const JoinSettings& settings);

/// All changes of the stack, one entry per tensor, in the base's order.
[[nodiscard]] std::vector<TensorChanges> combine(const std::vector<Adapter>& adapters, const Combination& combination,
                                                 BaseIndex base);

}  // namespace d2c::lora
