// softmax of one row, as the op and the fused attention compute it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace d2c::mil_cpu {

/// `n` numbers, `stride` apart; `from` and `to` may be the same. The sum is in double: its order does not show.
inline void softmax(const float* from, float* to, std::int64_t n, std::int64_t stride) {
  float top = -std::numeric_limits<float>::infinity();
  for (std::int64_t k = 0; k < n; ++k) top = std::max(top, from[k * stride]);
  double sum = 0;
  for (std::int64_t k = 0; k < n; ++k) sum += to[k * stride] = std::exp(from[k * stride] - top);
  const auto scale = static_cast<float>(1 / sum);
  for (std::int64_t k = 0; k < n; ++k) to[k * stride] *= scale;
}

}  // namespace d2c::mil_cpu
