#include "plugins/lora_unsloth/low_rank_kernel.hpp"

#include <algorithm>
#include <array>

// Arrays of vectors need a size that is known at compile time.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/lora_unsloth/low_rank_kernel.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

// Outside of any function and once only: the file is included again for every target.
#ifndef D2C_LORA_PANEL
#define D2C_LORA_PANEL
namespace d2c::lora {

/// Two of the widest vectors (AVX-512), so that every target goes through a panel in whole steps.
constexpr std::int64_t kPanel = 32;

/// One panel of A against some rows of B, added to W.
struct PanelProduct {
  const float* b;
  const float* a;
  std::int64_t rank;
  std::int64_t rows;
  float* w;
  std::int64_t stride;  ///< from one row of W to the next
};

}  // namespace d2c::lora
#endif

HWY_BEFORE_NAMESPACE();
namespace d2c::lora::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::CappedTag<float, kPanel / 2>;
using Vector = hn::Vec<Floats>;

/// `kRows` rows by two vectors of columns. Not fused: targets without FMA must give the same bits.
template <int kRows>
HWY_INLINE void add_block(const PanelProduct& p, std::int64_t row, std::int64_t column) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  const float* b = p.b + row * p.rank;
  const float* a = p.a + column;
  std::array<Vector, kRows> left;
  std::array<Vector, kRows> right;
  for (int i = 0; i < kRows; ++i) left[i] = right[i] = hn::Zero(d);
  for (std::int64_t k = 0; k < p.rank; ++k, a += kPanel) {
    const Vector a0 = hn::LoadU(d, a);
    const Vector a1 = hn::LoadU(d, a + lanes);
    for (int i = 0; i < kRows; ++i) {
      const Vector scale = hn::Set(d, b[i * p.rank + k]);
      left[i] = hn::Add(left[i], hn::Mul(scale, a0));
      right[i] = hn::Add(right[i], hn::Mul(scale, a1));
    }
  }
  for (int i = 0; i < kRows; ++i) {
    float* w = p.w + (row + i) * p.stride + column;
    hn::StoreU(hn::Add(hn::LoadU(d, w), left[i]), d, w);
    hn::StoreU(hn::Add(hn::LoadU(d, w + lanes), right[i]), d, w + lanes);
  }
}

template <int kRows>
HWY_INLINE void add_rows(const PanelProduct& p, std::int64_t row) {
  const auto step = static_cast<std::int64_t>(2 * hn::Lanes(Floats()));
  for (std::int64_t column = 0; column < kPanel; column += step) add_block<kRows>(p, row, column);
}

void add_panel(const PanelProduct& p) {
  std::int64_t i = 0;
  for (; i + 4 <= p.rows; i += 4) add_rows<4>(p, i);
  for (; i < p.rows; ++i) add_rows<1>(p, i);
}

}  // namespace
}  // namespace d2c::lora::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::lora {

HWY_EXPORT(add_panel);

PackedFactor::PackedFactor(std::span<const float> a, std::int64_t rank, std::int64_t columns)
    : rank_(rank), columns_(columns) {
  const std::int64_t count = (columns + kPanel - 1) / kPanel;
  panels_.resize(static_cast<std::size_t>(count * rank * kPanel));
  for (std::int64_t panel = 0; panel < count; ++panel) {
    const std::int64_t width = std::min(kPanel, columns - panel * kPanel);
    for (std::int64_t k = 0; k < rank; ++k)
      std::copy_n(a.data() + k * columns + panel * kPanel, width, panels_.data() + (panel * rank + k) * kPanel);
  }
}

void PackedFactor::add_product(const float* b, std::int64_t rows, float* w) const {
  // Rows of a power-of-two-like length fall on the same cache sets: more than these at once would evict one another.
  constexpr std::int64_t kRows = 16;
  for (std::int64_t i = 0; i < rows; i += kRows) add_rows(b + i * rank_, std::min(kRows, rows - i), w + i * columns_);
}

void PackedFactor::add_rows(const float* b, std::int64_t rows, float* w) const {
  const auto run = HWY_DYNAMIC_DISPATCH(add_panel);
  const std::int64_t whole = columns_ / kPanel;
  for (std::int64_t panel = 0; panel < whole; ++panel) {
    run({b, panels_.data() + panel * rank_ * kPanel, rank_, rows, w + panel * kPanel, columns_});
  }
  const std::int64_t first = whole * kPanel;
  if (first == columns_) return;
  std::array<float, kPanel> edge{};
  for (std::int64_t i = 0; i < rows; ++i) {
    float* row = w + i * columns_ + first;
    std::copy_n(row, columns_ - first, edge.data());
    run({b + i * rank_, panels_.data() + whole * rank_ * kPanel, rank_, 1, edge.data(), kPanel});
    std::copy_n(edge.data(), columns_ - first, row);
  }
}

}  // namespace d2c::lora
#endif
