#include "libs/kernels/weight_rows.hpp"

#include <algorithm>
#include <cstring>

// Neither differs here from the next lower instruction set.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "libs/kernels/weight_panels.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "libs/kernels/weight_steps-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace d2c::kernels::HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR
template <class Step>
void expand_row(const View& w, std::int64_t row, std::int64_t row_group, std::int64_t begin, std::int64_t end,
                float* out) {
  const Floats df;
  for_each_run(w, row_group, begin, end, [&](std::int64_t group, std::int64_t at, std::int64_t stop) HWY_ATTR {
    at = take_steps<Step>(w, row, group, at, stop,
                          [&](int, std::int64_t column, auto v) HWY_ATTR { hn::StoreU(v, df, out + column - begin); });
    for (; at < stop; ++at) out[at - begin] = value(w, group, row * w.m.columns + at);
  });
}
#endif

void expand(const View& w, std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end, float* out) {
  const bool done = with_step(w, false, [&]<class Step>(Step) HWY_ATTR {
    for_each_row(w, first, count, [&](std::int64_t r, std::int64_t g) HWY_ATTR {
      expand_row<Step>(w, r, g, begin, end, out + (r - first) * (end - begin));
    });
  });
  if (done) return;
  for_each_row(w, first, count, [&](std::int64_t r, std::int64_t g) HWY_ATTR {
    for_each_run(w, g, begin, end, [&](std::int64_t group, std::int64_t at, std::int64_t stop) HWY_ATTR {
      for (; at < stop; ++at) *out++ = value(w, group, r * w.m.columns + at);
    });
  });
}

// ---------------------------------------------------------------- panels of x

using Wide = hn::ScalableTag<float>;

/// Two vectors of each column.
std::int64_t float_panel_rows() { return static_cast<std::int64_t>(2 * hn::Lanes(Wide())); }

/// Are products of integers faster than those of floats?
constexpr bool kIntegerProducts = HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2;
constexpr std::int64_t kPanelRows = 16, kPairs = kBlock / 2;

/// A block of a panel of x as integers of kMost16 at most.
struct PanelBlock {
  std::int16_t pairs[kPairs][kPanelRows][2];  ///< two columns of a row each
  float scales[kPanelRows];
};
static_assert(sizeof(PanelBlock) % 64 == 0);

bool takes_integers(const View& w) { return kIntegerProducts && w.tables16 != nullptr; }

std::int64_t panel_rows(const View& w) { return takes_integers(w) ? kPanelRows : float_panel_rows(); }

std::size_t panel_bytes(const View& w) {
  if (takes_integers(w)) return w.blocks() * sizeof(PanelBlock);
  return static_cast<std::size_t>((w.m.columns * float_panel_rows() + 15) / 16 * 16) * sizeof(float);
}

// ---------------------------------------------------------------- floats

void pack_floats(const View& w, const float* x, std::int64_t count, float* out) {
  const std::int64_t panel = float_panel_rows(), columns = w.m.columns;
  constexpr std::int64_t kColumns = 16;  // of every row in turn, so that what is written stays in the first cache
  for (std::int64_t begin = 0; begin < columns; begin += kColumns) {
    const std::int64_t end = std::min(columns, begin + kColumns);
    for (std::int64_t i = 0; i < panel; ++i)
      for (std::int64_t c = begin; c < end; ++c) out[c * panel + i] = i < count ? x[i * columns + c] : 0;
  }
}

/// sums[r][i] += sum over c of w[r][c] * x[c][i] for kRows rows of w and the panel's rows i of x: as many sums as registers
/// hold.
template <int kRows>
HWY_INLINE void add_panel_block(const float* x, const float* w, std::int64_t w_stride, std::int64_t columns,
                                float* sums) {
  const Wide df;
  const std::size_t lanes = hn::Lanes(df);
  using V = hn::Vec<Wide>;
  V a0 = hn::LoadU(df, sums), b0 = hn::LoadU(df, sums + lanes);
  [[maybe_unused]] V a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0;
  const auto load = [&](int r, V& a, V& b) HWY_ATTR {
    a = hn::LoadU(df, sums + 2 * static_cast<std::size_t>(r) * lanes);
    b = hn::LoadU(df, sums + (2 * static_cast<std::size_t>(r) + 1) * lanes);
  };
  const auto store = [&](int r, V a, V b) HWY_ATTR {
    hn::StoreU(a, df, sums + 2 * static_cast<std::size_t>(r) * lanes);
    hn::StoreU(b, df, sums + (2 * static_cast<std::size_t>(r) + 1) * lanes);
  };
  if constexpr (kRows > 1) load(1, a1, b1), load(2, a2, b2), load(3, a3, b3), load(4, a4, b4), load(5, a5, b5);
  for (std::int64_t c = 0; c < columns; ++c, x += 2 * lanes, ++w) {
    const V x0 = hn::LoadU(df, x), x1 = hn::LoadU(df, x + lanes);
    const auto row = [&](int r, V& a, V& b) HWY_ATTR {
      const V v = hn::Set(df, w[r * w_stride]);
      a = hn::MulAdd(v, x0, a);
      b = hn::MulAdd(v, x1, b);
    };
    row(0, a0, b0);
    if constexpr (kRows > 1) row(1, a1, b1), row(2, a2, b2), row(3, a3, b3), row(4, a4, b4), row(5, a5, b5);
  }
  store(0, a0, b0);
  if constexpr (kRows > 1) store(1, a1, b1), store(2, a2, b2), store(3, a3, b3), store(4, a4, b4), store(5, a5, b5);
}

/// A tile of columns [begin, begin + columns) times a panel.
void add_float_products(const float* panel, std::int64_t begin, const float* tile, std::int64_t rows,
                        std::int64_t columns, float* sums) {
  const std::int64_t width = float_panel_rows();
  const float* from = panel + begin * width;
  std::int64_t r = 0;
  for (; r + 6 <= rows; r += 6) add_panel_block<6>(from, tile + r * columns, columns, columns, sums + r * width);
  for (; r < rows; ++r) add_panel_block<1>(from, tile + r * columns, columns, columns, sums + r * width);
}

void multiply_floats(const View& w, std::int64_t first, std::int64_t count, const std::byte* panels,
                     std::int64_t panel_count, float* tile, float* sums) {
  const auto stride = static_cast<std::int64_t>(panel_bytes(w));
  for (std::int64_t c = 0; c < w.m.columns; c += WeightRows::kTileColumns) {
    const std::int64_t end = std::min(c + WeightRows::kTileColumns, w.m.columns);
    expand(w, first, count, c, end, tile);
    for (std::int64_t p = 0; p < panel_count; ++p)
      add_float_products(reinterpret_cast<const float*>(panels + p * stride), c, tile, count, end - c,
                         sums + p * count * float_panel_rows());
  }
}

// ---------------------------------------------------------------- integers

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2

/// Of a tile: it, as many columns of a panel, and their sums then stay in the first cache.
constexpr std::int64_t kIntegerColumns = 128;

void pack_integers(const View& w, const float* x, std::int64_t count, PanelBlock* out) {
  for (std::int64_t b = 0; b < static_cast<std::int64_t>(w.blocks()); ++b) {
    for (std::int64_t i = 0; i < kPanelRows; ++i) {
      alignas(64) std::int16_t numbers[kBlock] = {};
      out[b].scales[i] = i < count ? round_block<View::kMost16>(w, x + i * w.m.columns, b, numbers) : 0;
      for (std::int64_t c = 0; c < kPairs; ++c) std::memcpy(out[b].pairs[c][i], numbers + 2 * c, 4);
    }
  }
}

/// A vector's entries in their order.
template <int kBits>
HWY_INLINE void look_up_integers(const std::uint8_t* table, std::int64_t entries, Block indices, std::int16_t* out) {
  const Bytes d;
  const hn::Repartition<std::int16_t, Bytes> d16;
  const auto low = look_up<kBits>(table, indices), high = look_up<kBits>(table + entries, indices);
  const auto a = hn::BitCast(d16, hn::InterleaveLower(d, low, high));
  const auto b = hn::BitCast(d16, hn::InterleaveUpper(d, low, high));
  hn::StoreU(hn::ConcatLowerLower(d16, b, a), d16, out);
  hn::StoreU(hn::ConcatUpperUpper(d16, b, a), d16, out + hn::Lanes(d16));
}

/// Columns [begin, end) of a row, all of one group, whole blocks in the order of place_of(), filled up with zeros.
template <int kBits>
HWY_INLINE void expand_row_integers(const View& w, std::int64_t row, std::int64_t group, std::int64_t begin,
                                    std::int64_t end, std::int16_t* out) {
  const BlockRun<kBits> blocks(w, row, begin, end);
  const std::uint8_t* table = w.tables16 + group * 2 * w.entries;
  for (std::int64_t b = 0; b < blocks.count; ++b)
    block_indices<kBits>(blocks.from + b * blocks.kBytes, [&](std::int64_t first, Block indices) HWY_ATTR {
      look_up_integers<kBits>(table, w.entries, indices, out + b * kBlock + first);
    });
  std::int64_t at = begin + blocks.count * kBlock;
  std::fill(out + (at - begin), out + (end - begin + kBlock - 1) / kBlock * kBlock, std::int16_t{0});
  for (; at < end; ++at) {
    const std::uint32_t e = element(w, row * w.m.columns + at);
    out[place_of(w, at) - begin] = static_cast<std::int16_t>(table[e] | table[w.entries + e] << 8);
  }
}

/// kRows rows of a tile times a block of a panel. Intrinsics, for arrays of registers: two of each row.
template <int kRows>
HWY_INLINE void add_integer_block(const PanelBlock& x, const std::int16_t* tile, const float* scales, float* sums) {
  __m256i products[kRows][2] = {};
#pragma GCC unroll 4
  for (std::int64_t c = 0; c < kPairs; ++c) {
    const auto* pairs = reinterpret_cast<const __m256i*>(x.pairs[c]);
    const __m256i x0 = _mm256_loadu_si256(pairs), x1 = _mm256_loadu_si256(pairs + 1);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      std::int32_t pair;
      std::memcpy(&pair, tile + r * kIntegerColumns + 2 * c, sizeof pair);
      const __m256i w = _mm256_set1_epi32(pair);
      products[r][0] = _mm256_add_epi32(products[r][0], _mm256_madd_epi16(w, x0));
      products[r][1] = _mm256_add_epi32(products[r][1], _mm256_madd_epi16(w, x1));
    }
  }
  const Floats df;
  for (int r = 0; r < kRows; ++r)
    for (int half = 0; half < 2; ++half) {
      float* to = sums + r * kPanelRows + half * 8;
      const auto scale = hn::Mul(hn::Set(df, scales[r]), hn::LoadU(df, x.scales + half * 8));
      const hn::Vec<Floats> sum{_mm256_cvtepi32_ps(products[r][half])};
      hn::StoreU(hn::MulAdd(scale, sum, hn::LoadU(df, to)), df, to);
    }
}

/// A tile of columns [begin, end) times a panel.
void add_integer_products(const PanelBlock* panel, std::int64_t begin, std::int64_t end, const std::int16_t* tile,
                          const float* scales, std::int64_t rows, float* sums) {
  for (std::int64_t at = begin; at < end; at += kBlock) {
    const PanelBlock& x = panel[at / kBlock];
    const std::int16_t* from = tile + at - begin;
    std::int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
      add_integer_block<4>(x, from + r * kIntegerColumns, scales + r, sums + r * kPanelRows);
    for (; r < rows; ++r) add_integer_block<1>(x, from + r * kIntegerColumns, scales + r, sums + r * kPanelRows);
  }
}

template <int kBits>
void multiply_integers(const View& w, std::int64_t first, std::int64_t count, const PanelBlock* panels,
                       std::int64_t panel_count, std::int16_t* tile, float* sums) {
  float scales[WeightRows::kTileRows];
  for_each_run(w, 0, 0, w.m.columns, [&](std::int64_t column_group, std::int64_t start, std::int64_t stop) HWY_ATTR {
    for (std::int64_t begin = start; begin < stop; begin += kIntegerColumns) {
      const std::int64_t end = std::min(begin + kIntegerColumns, stop);
      for_each_row(w, first, count, [&](std::int64_t row, std::int64_t row_group) HWY_ATTR {
        const std::int64_t r = row - first, group = row_group + column_group;
        expand_row_integers<kBits>(w, row, group, begin, end, tile + r * kIntegerColumns);
        scales[r] = w.tops[group] / View::kMost16;
      });
      for (std::int64_t p = 0; p < panel_count; ++p)
        add_integer_products(panels + p * static_cast<std::int64_t>(w.blocks()), begin, end, tile, scales, count,
                             sums + p * count * kPanelRows);
    }
  });
}

#endif

// ---------------------------------------------------------------- as a matrix takes them

void pack_panel(const View& w, const float* x, std::int64_t count, std::byte* out) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  if (takes_integers(w)) return pack_integers(w, x, count, reinterpret_cast<PanelBlock*>(out));
#endif
  pack_floats(w, x, count, reinterpret_cast<float*>(out));
}

void multiply_panels(const View& w, std::int64_t first, std::int64_t count, const std::byte* panels,
                     std::int64_t panel_count, std::byte* tile, float* sums) {
  std::fill_n(sums, panel_count * count * panel_rows(w), 0.0F);
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  if (takes_integers(w))
    return with_bits(w, [&]<int kBits>(std::integral_constant<int, kBits>) HWY_ATTR {
      multiply_integers<kBits>(w, first, count, reinterpret_cast<const PanelBlock*>(panels), panel_count,
                               reinterpret_cast<std::int16_t*>(tile), sums);
    });
#endif
  multiply_floats(w, first, count, panels, panel_count, reinterpret_cast<float*>(tile), sums);
}

}  // namespace
}  // namespace d2c::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::kernels {
namespace {

HWY_EXPORT(expand);
HWY_EXPORT(panel_rows);
HWY_EXPORT(panel_bytes);
HWY_EXPORT(pack_panel);
HWY_EXPORT(multiply_panels);

}  // namespace

std::int64_t WeightRows::panel_rows() const { return HWY_DYNAMIC_DISPATCH(panel_rows)(view_); }

std::size_t WeightRows::panel_bytes() const { return HWY_DYNAMIC_DISPATCH(panel_bytes)(view_); }

void WeightRows::pack_panel(const float* x, std::int64_t count, std::byte* out) const {
  HWY_DYNAMIC_DISPATCH(pack_panel)(view_, x, count, out);
}

void WeightRows::multiply_panels(std::int64_t first, std::int64_t count, const std::byte* panels,
                                 std::int64_t panel_count, std::byte* tile, float* sums) const {
  HWY_DYNAMIC_DISPATCH(multiply_panels)(view_, first, count, panels, panel_count, tile, sums);
}

void WeightRows::expand(std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end,
                        float* out) const {
  HWY_DYNAMIC_DISPATCH(expand)(view_, first, count, begin, end, out);
}

}  // namespace d2c::kernels
#endif
