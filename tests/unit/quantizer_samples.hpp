// What the tests of quantizers quantize, and Core ML's rule for what they made.
#pragma once

#include <d2c/half.hpp>
#include <d2c/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace d2c {

inline std::vector<std::uint16_t> random_weights(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.03f);
  std::vector<std::uint16_t> out(static_cast<std::size_t>(count));
  for (auto& w : out) w = float_to_half(normal(random));
  return out;
}

/// The block of `blocks` that an element of a weight belongs to: along each axis, block = position / (size / blocks).
inline std::int64_t block_of(std::int64_t element, const Shape& shape, const Shape& blocks) {
  std::int64_t block = 0, stride = 1, rest = element;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    block += rest % shape[axis] / (shape[axis] / blocks[axis]) * stride;
    rest /= shape[axis];
    stride *= blocks[axis];
  }
  return block;
}

}  // namespace d2c
