// The weights a Llama config calls for.
#pragma once

#include <d2c/plugin.hpp>
#include <d2c/value.hpp>

#include <string>
#include <vector>

namespace d2c::source_synthetic {

/// Every tensor of a Llama checkpoint with this config.json, bf16, in the order of the layers. `where` opens error
/// messages; a config that is not a Llama's, or has impossible sizes, is Error(input).
[[nodiscard]] std::vector<TensorInfo> llama_tensors(const Value& config, const std::string& where);

}  // namespace d2c::source_synthetic
