// Inputs and outputs between their declared element types and the 32-bit numbers that functions run on.
#pragma once

#include <d2c/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace d2c::mil_cpu {

/// Can a feature have this element type? Floating point becomes float, the others int32.
[[nodiscard]] bool is_feature_dtype(DType dtype) noexcept;

/// `in` holds `count` packed elements of `dtype`, `out` as many 32-bit numbers. Booleans become 0 or 1.
void widen_feature(DType dtype, const std::byte* in, std::size_t count, void* out);
/// Back again: fp16 is rounded to nearest even, integers keep their low bits.
void narrow_feature(DType dtype, const void* in, std::size_t count, std::byte* out);

}  // namespace d2c::mil_cpu
