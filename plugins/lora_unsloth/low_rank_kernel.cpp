#include "plugins/lora_unsloth/low_rank_kernel.hpp"

#include <algorithm>
#include <array>

// Arrays of vectors need a size that is known at compile time.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/lora_unsloth/low_rank_kernel.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace d2c::lora::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

struct Operands {
  const float* b;
  const float* a;
  float* w;
  std::int64_t rank;
  std::int64_t columns;
};

/// `kRows` rows by two vectors of columns. Not fused: targets without FMA must give the same bits.
template <int kRows>
HWY_INLINE void add_block(const Operands& o, std::int64_t row, std::int64_t column) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float* b = o.b + row * o.rank;
  const float* a = o.a + column;
  std::array<Vector, kRows> left;
  std::array<Vector, kRows> right;
  for (int i = 0; i < kRows; ++i) left[i] = right[i] = hn::Zero(d);
  for (std::int64_t k = 0; k < o.rank; ++k, a += o.columns) {
    const Vector a0 = hn::LoadU(d, a);
    const Vector a1 = hn::LoadU(d, a + lanes);
    for (int i = 0; i < kRows; ++i) {
      const Vector scale = hn::Set(d, b[i * o.rank + k]);
      left[i] = hn::Add(left[i], hn::Mul(scale, a0));
      right[i] = hn::Add(right[i], hn::Mul(scale, a1));
    }
  }
  for (int i = 0; i < kRows; ++i) {
    float* w = o.w + (row + i) * o.columns + column;
    hn::StoreU(hn::Add(hn::LoadU(d, w), left[i]), d, w);
    hn::StoreU(hn::Add(hn::LoadU(d, w + lanes), right[i]), d, w + lanes);
  }
}

HWY_INLINE void add_columns_one_by_one(const Operands& o, std::int64_t row, std::int64_t first, std::int64_t end) {
  for (std::int64_t j = first; j < end; ++j) {
    float sum = 0;
    for (std::int64_t k = 0; k < o.rank; ++k) sum += o.b[row * o.rank + k] * o.a[k * o.columns + j];
    o.w[row * o.columns + j] += sum;
  }
}

template <int kRows>
HWY_INLINE void add_rows(const Operands& o, std::int64_t row, std::int64_t first, std::int64_t end) {
  const auto step = static_cast<std::int64_t>(2 * hn::Lanes(Floats()));
  std::int64_t j = first;
  for (; j + step <= end; j += step) add_block<kRows>(o, row, j);
  for (int i = 0; i < kRows; ++i) add_columns_one_by_one(o, row + i, j, end);
}

void add_product(const float* b, const float* a, std::int64_t rows, std::int64_t rank, std::int64_t columns, float* w) {
  const Operands o{b, a, w, rank, columns};
  // A strip of A that stays in the first-level cache serves all rows.
  constexpr std::int64_t kStripFloats = 6 * 1024;
  const std::int64_t strip = std::max<std::int64_t>(64, kStripFloats / rank / 64 * 64);
  for (std::int64_t first = 0; first < columns; first += strip) {
    const std::int64_t end = std::min(columns, first + strip);
    std::int64_t i = 0;
    for (; i + 4 <= rows; i += 4) add_rows<4>(o, i, first, end);
    for (; i < rows; ++i) add_rows<1>(o, i, first, end);
  }
}

}  // namespace
}  // namespace d2c::lora::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::lora {

HWY_EXPORT(add_product);

void add_product(const float* b, const float* a, std::int64_t rows, std::int64_t rank, std::int64_t columns, float* w) {
  HWY_DYNAMIC_DISPATCH(add_product)(b, a, rows, rank, columns, w);
}

}  // namespace d2c::lora
#endif
