// One block of weights as steps of a scale from an offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace d2c::linear {

enum class OffsetKind {
  none,     ///< the middle level is zero
  integer,  ///< a level is zero
  fp16,     ///< zero may lie between two levels
};

/// What blocks are made of: a weight is scale * (level - offset), a level one of 2^bits from 0 on.
struct Grid {
  int bits = 4;
  OffsetKind offset = OffsetKind::none;

  [[nodiscard]] float last() const noexcept { return static_cast<float>((1 << bits) - 1); }
  [[nodiscard]] float middle() const noexcept { return static_cast<float>(1 << (bits - 1)); }
};

struct Fit {
  std::uint16_t scale = 0;  ///< fp16 bits; positive, never zero
  float offset = 0;         ///< from 0 to the last level; exact in fp16, a whole number unless OffsetKind::fp16
};

/// The scale and offset at which the outermost weights, and zero, lie on levels or within half a step of one.
[[nodiscard]] Fit fit_range(const Grid& grid, std::span<const float> block);

/// Those of the least squared error among 24: the range's, and 23 narrower ones with scale (and fp16 offset) moved to
/// the least squares for the levels that each one gives. The result depends on the arguments alone.
[[nodiscard]] Fit fit_least_squares(const Grid& grid, std::span<const float> block);

/// The nearest level of each weight, and what it stands for before it is rounded to fp16.
void quantize_block(const Grid& grid, const Fit& fit, std::span<const float> block, std::uint8_t* levels,
                    float* restored);

}  // namespace d2c::linear
