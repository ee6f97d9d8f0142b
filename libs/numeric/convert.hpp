// Bulk conversions between fp16, bf16 and fp32 with the best instructions of the machine at hand.
// The results are bit for bit those of <d2c/half.hpp>, whatever the machine.
#pragma once

#include <d2c/tensor.hpp>

#include <cstddef>
#include <cstdint>

namespace d2c::numeric {

/// What a rounding to fp16 did to the values, for reports and refusals.
struct RoundingStats {
  std::uint64_t nonfinite = 0;    ///< inputs that were infinite or NaN already
  std::uint64_t overflowed = 0;   ///< finite inputs that became infinite
  std::uint64_t underflowed = 0;  ///< non-zero inputs that became zero
  std::uint64_t subnormal = 0;    ///< results that are subnormal, with fewer significant bits

  RoundingStats& operator+=(const RoundingStats& other) noexcept {
    nonfinite += other.nonfinite;
    overflowed += other.overflowed;
    underflowed += other.underflowed;
    subnormal += other.subnormal;
    return *this;
  }
  friend bool operator==(const RoundingStats&, const RoundingStats&) = default;
};

/// Widens `count` values of type f16, bf16 or f32 (copied); exact. Throws Error(input) for any other type.
/// `in` needs no alignment; the ranges must not overlap.
void to_float(DType from, const void* in, std::size_t count, float* out);

/// Rounds to nearest even; beyond 65519.99 becomes infinite, NaN stays NaN. The ranges must not overlap.
RoundingStats float_to_half(const float* in, std::size_t count, std::uint16_t* out);

/// The same from bf16, without a detour through memory. `in` and `out` may be the same array.
RoundingStats bf16_to_half(const std::uint16_t* in, std::size_t count, std::uint16_t* out);

}  // namespace d2c::numeric
