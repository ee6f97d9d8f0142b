// Rotary position embeddings, computed step by step in fp32 as transformers does.
#pragma once

#include "libs/llama_blocks/llama_config.hpp"

#include <cstdint>
#include <vector>

namespace d2c::llama {

/// The head_dim/2 frequencies after scaling.
[[nodiscard]] std::vector<float> inverse_frequencies(const RopeConfig& rope, std::int64_t head_dim);

/// Row p belongs to position p; rows have head_dim columns, row-major.
struct RopeTables {
  std::vector<float> cos;
  /// The first half of each row is negated, so that x*cos + swap_halves(x)*sin is the rotation.
  std::vector<float> sin;
};

[[nodiscard]] RopeTables rope_tables(const RopeConfig& rope, std::int64_t head_dim, std::int64_t positions);

}  // namespace d2c::llama
