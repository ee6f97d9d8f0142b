// The inner loop of the merge: W += B * A for a few rows of W and a small inner dimension.
#pragma once

#include <cstdint>

namespace d2c::lora {

/// All row-major: b [rows, rank], a [rank, columns], w [rows, columns].
///
/// Every element is w + ((b0*a0 + b1*a1) + b2*a2 ...), each operation rounded to fp32: the same bits for any tiling,
/// any number of threads and any instruction set.
void add_product(const float* b, const float* a, std::int64_t rows, std::int64_t rank, std::int64_t columns, float* w);

}  // namespace d2c::lora
