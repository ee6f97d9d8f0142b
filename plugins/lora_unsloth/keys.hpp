// The names of tensors in an adapter's file.
#pragma once

#include <string>
#include <string_view>

namespace d2c::lora {

enum class Part {
  lora_a,
  lora_b,
  lora_b_bias,
  embedding_a,
  embedding_b,
  magnitude,
  token_rows,
  base_weight,  ///< a copy of the layer below the adapter, loaded over the base
  base_bias,
  original,  ///< what a saved module has replaced; of no use
  whole,     ///< a tensor of the model itself, saved in full
};

struct Key {
  std::string owner;  ///< module path as the adapter spells it; for `whole` the tensor's name
  Part part = Part::whole;
};

/// Strips the wrapper's prefix and the adapter's name "default", which some writers leave in.
[[nodiscard]] Key parse_key(std::string_view name);

}  // namespace d2c::lora
