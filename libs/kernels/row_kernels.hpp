// Attention for few queries and what else runs over rows of floats. Thread-safe, deterministic on one machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace d2c::kernels {

/// Keys or values of one head, [count, width], read where they lie.
struct HeadRows {
  const void* data = nullptr;  ///< fp16 or fp32
  bool halves = false;
  std::int64_t count = 0, width = 0;
};

/// scores[i, k] = q[i] times key k, for `queries` rows q [queries, keys.width].
void score_keys(const float* q, std::int64_t queries, const HeadRows& keys, float* scores);

/// out[i] = sum over k of weights[i, k] * value k: weights [queries, values.count], out [queries, values.width].
void mix_values(const float* weights, std::int64_t queries, const HeadRows& values, float* out);

/// to = softmax(from * scale + bias), of `count` numbers each; no bias: null. `from` and `to` may be the same.
void softmax(const float* from, float scale, const float* bias, std::int64_t count, float* to);

/// to[i] = x / (1 + e^-x). `from` and `to` may be the same.
void silu(const float* from, std::int64_t count, float* to);

/// In double, so that the order of additions does not show.
[[nodiscard]] double sum(const float* from, std::int64_t count);
[[nodiscard]] double sum_of_squares(const float* from, std::int64_t count);

}  // namespace d2c::kernels
