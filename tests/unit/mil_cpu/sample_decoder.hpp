// A decoder layer of a few numbers, with everything that fuses: norm, rotation, cache, attention, gated units.
#pragma once

#include "tests/unit/mil_cpu/sample_package.hpp"

#include <cstdint>
#include <vector>

namespace d2c::mil_cpu::test {

struct SampleShape {
  std::int64_t vocabulary = 24, hidden = 16, heads = 4, kv_heads = 2, head_dim = 8, context = 16, prefill = 4;
  bool palettes = false;      ///< weights as 4-bit palettes, otherwise dense fp16
  bool split_states = false;  ///< keys and values in a state each
};

/// Functions init (a chunk of `prefill` tokens) and decode (one), as the project's emitters shape them.
[[nodiscard]] std::filesystem::path sample_decoder(const SampleShape& shape = {});

/// Logits after every token, fed as one chunk of `prefill` and then one by one.
[[nodiscard]] std::vector<std::vector<float>> feed(Runner& runner, RunnerState& state, const SampleShape& shape,
                                                   const std::vector<std::int32_t>& tokens);

}  // namespace d2c::mil_cpu::test
