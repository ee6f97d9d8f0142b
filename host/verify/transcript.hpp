// A package's answer to a prompt, held against a reference's.
#pragma once

#include "host/inference/kv_usage.hpp"
#include "host/inference/session.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace d2c::host {

struct Transcript {
  std::vector<std::int32_t> tokens;  ///< what the package answers by itself, greedily
  std::size_t common = 0;            ///< leading tokens that are the reference's too
  double init_ms = 0;
  std::vector<double> decode_ms;  ///< of each token fed
  KvUsage kv;                     ///< at the end
};

/// `row` counts the answer's tokens fed so far.
using OnRow = std::function<void(std::size_t row, std::span<const float> logits)>;

/// Feeds the prompt and the reference's answer, calling `on_row` with the logits after the prompt and after each token of
/// the answer. Where the package would have chosen another token, it then goes on from there alone, as long as the answer
/// is. What the session held is forgotten.
[[nodiscard]] Transcript follow(Session& session, std::span<const std::int32_t> prompt,
                                std::span<const std::int32_t> answer, const OnRow& on_row);

}  // namespace d2c::host
