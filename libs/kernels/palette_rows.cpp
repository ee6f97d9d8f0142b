#include "libs/kernels/palette_rows.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "libs/kernels/palette_rows.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace d2c::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Bytes = hn::ScalableTag<std::uint8_t>;
using Floats = hn::Repartition<float, Bytes>;
using Halves = hn::Repartition<hwy::float16_t, Bytes>;
using FewHalves = hn::Half<Halves>;

#if HWY_TARGET != HWY_SCALAR

/// Columns that one vector of indices holds.
std::int64_t block_columns() { return static_cast<std::int64_t>(2 * hn::Lanes(Bytes())); }

/// Calls use(k, floats) for the eight (vectors of) floats that one vector of indices stands for: each byte's lower half,
/// then each upper half; of each the even and odd halves of the 16-byte blocks, as interleaving leaves them.
template <class Vector, class Use>
HWY_INLINE void expand(Vector indices, Vector low_bytes, Vector high_bytes, Use&& use) {
  const Bytes d;
  const Floats df;
  const FewHalves dh;
  const auto one = [&](auto nibbles, int k) HWY_ATTR {
    const auto low = hn::TableLookupBytes(low_bytes, nibbles), high = hn::TableLookupBytes(high_bytes, nibbles);
    const auto a = hn::BitCast(Halves(), hn::InterleaveLower(d, low, high));
    const auto b = hn::BitCast(Halves(), hn::InterleaveUpper(d, low, high));
    use(k, hn::PromoteTo(df, hn::LowerHalf(dh, a)));
    use(k + 1, hn::PromoteTo(df, hn::UpperHalf(dh, a)));
    use(k + 2, hn::PromoteTo(df, hn::LowerHalf(dh, b)));
    use(k + 3, hn::PromoteTo(df, hn::UpperHalf(dh, b)));
  };
  one(hn::And(indices, hn::Set(d, 0x0f)), 0);
  one(hn::ShiftRight<4>(indices), 4);
}

/// Where column `at` of a block comes from, `at` counting the floats in the order of expand().
std::int64_t source_column(std::int64_t at) {
  const auto bytes = static_cast<std::int64_t>(hn::Lanes(Bytes())), floats = bytes / 4;
  const std::int64_t k = at / floats, lane = at % floats;
  const std::int64_t half = (k % 2) * floats + lane;  // index among the interleaved halves of its vector
  const std::int64_t byte = half / 8 * 16 + (k % 4 >= 2 ? 8 : 0) + half % 8;
  return 2 * byte + (k >= 4 ? 1 : 0);
}

#else  // no shuffles: everything is done one by one, in the order it has

std::int64_t block_columns() { return std::int64_t{1} << 40; }
std::int64_t source_column(std::int64_t at) { return at; }

#endif

struct Tables {
  std::uint8_t low[16], high[16];

  explicit Tables(const std::uint16_t* table) {
    for (int i = 0; i < 16; ++i) {
      low[i] = static_cast<std::uint8_t>(table[i] & 0xff);
      high[i] = static_cast<std::uint8_t>(table[i] >> 8);
    }
  }
};

void reorder_rows(const float* x, std::int64_t m, std::int64_t columns, float* out) {
  const std::int64_t block = block_columns();
  for (std::int64_t i = 0; i < m; ++i, x += columns, out += columns) {
    std::int64_t at = 0;
    for (; at + block <= columns; at += block)
      for (std::int64_t c = 0; c < block; ++c) out[at + c] = x[at + source_column(c)];
    std::copy(x + at, x + columns, out + at);
  }
}

float table_value(const std::uint8_t* indices, const std::uint16_t* table, std::int64_t column) {
  return half_to_float(table[(indices[column / 2] >> (column % 2 * 4)) & 15]);
}

#if HWY_TARGET != HWY_SCALAR

/// A weight row times a row of x, for the columns that fill whole vectors; returns how many those are. Four sums, so that no
/// multiply-add waits for the one before.
std::int64_t multiply_vectors(const std::uint8_t* indices, const Tables& split, std::int64_t columns, const float* x,
                              float& total) {
  const Bytes d;
  const Floats df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto low = hn::LoadDup128(d, split.low), high = hn::LoadDup128(d, split.high);
  auto sum0 = hn::Zero(df), sum1 = hn::Zero(df), sum2 = hn::Zero(df), sum3 = hn::Zero(df);
  std::int64_t at = 0;
  for (const std::int64_t block = block_columns(); at + block <= columns; at += block) {
    expand(hn::LoadU(d, indices + at / 2), low, high, [&](int k, auto w) HWY_ATTR {
      auto& sum = k % 4 == 0 ? sum0 : k % 4 == 1 ? sum1 : k % 4 == 2 ? sum2 : sum3;
      sum = hn::MulAdd(w, hn::LoadU(df, x + at + k * lanes), sum);
    });
  }
  total = hn::GetLane(hn::SumOfLanes(df, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
  return at;
}

/// The same for kX > 1 rows of x.
template <int kX>
std::int64_t multiply_vectors_few(const std::uint8_t* indices, const Tables& split, std::int64_t columns,
                                  const float* x, float (&sums)[kX]) {
  const Bytes d;
  const Floats df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto low = hn::LoadDup128(d, split.low), high = hn::LoadDup128(d, split.high);
  auto sum0 = hn::Zero(df), sum1 = hn::Zero(df);
  [[maybe_unused]] auto sum2 = hn::Zero(df), sum3 = hn::Zero(df);
  std::int64_t at = 0;
  for (const std::int64_t block = block_columns(); at + block <= columns; at += block) {
    expand(hn::LoadU(d, indices + at / 2), low, high, [&](int k, auto w) HWY_ATTR {
      const float* from = x + at + k * lanes;
      sum0 = hn::MulAdd(w, hn::LoadU(df, from), sum0);
      sum1 = hn::MulAdd(w, hn::LoadU(df, from + columns), sum1);
      if constexpr (kX > 2) sum2 = hn::MulAdd(w, hn::LoadU(df, from + 2 * columns), sum2);
      if constexpr (kX > 3) sum3 = hn::MulAdd(w, hn::LoadU(df, from + 3 * columns), sum3);
    });
  }
  sums[0] = hn::GetLane(hn::SumOfLanes(df, sum0));
  sums[1] = hn::GetLane(hn::SumOfLanes(df, sum1));
  if constexpr (kX > 2) sums[2] = hn::GetLane(hn::SumOfLanes(df, sum2));
  if constexpr (kX > 3) sums[3] = hn::GetLane(hn::SumOfLanes(df, sum3));
  return at;
}

std::int64_t expand_vectors(const std::uint8_t* indices, const Tables& split, std::int64_t begin, std::int64_t end,
                            float* out) {
  const Bytes d;
  const Floats df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df)), block = block_columns();
  const auto low = hn::LoadDup128(d, split.low), high = hn::LoadDup128(d, split.high);
  std::int64_t at = begin;
  for (; at + block <= end; at += block)
    expand(hn::LoadU(d, indices + at / 2), low, high,
           [&](int k, auto v) HWY_ATTR { hn::StoreU(v, df, out + at - begin + k * lanes); });
  return at;
}

#else

std::int64_t multiply_vectors(const std::uint8_t*, const Tables&, std::int64_t, const float*, float&) { return 0; }
template <int kX>
std::int64_t multiply_vectors_few(const std::uint8_t*, const Tables&, std::int64_t, const float*, float (&)[kX]) {
  return 0;
}
std::int64_t expand_vectors(const std::uint8_t*, const Tables&, std::int64_t begin, std::int64_t, float*) {
  return begin;
}

#endif

float multiply_row(const std::uint8_t* indices, const std::uint16_t* table, const Tables& split, std::int64_t columns,
                   const float* x) {
  float sum = 0;
  for (std::int64_t at = multiply_vectors(indices, split, columns, x, sum); at < columns; ++at)
    sum += table_value(indices, table, at) * x[at];
  return sum;
}

template <int kX>
void multiply_row_by_few(const std::uint8_t* indices, const std::uint16_t* table, const Tables& split,
                         std::int64_t columns, const float* x, float* y, std::int64_t stride) {
  float sums[kX] = {};
  for (std::int64_t at = multiply_vectors_few<kX>(indices, split, columns, x, sums); at < columns; ++at)
    for (int i = 0; i < kX; ++i) sums[i] += table_value(indices, table, at) * x[i * columns + at];
  for (int i = 0; i < kX; ++i) y[i * stride] = sums[i];
}

void multiply(const PaletteRows& w, std::int64_t first, std::int64_t count, const float* x, std::int64_t m, float* y,
              std::int64_t stride) {
  const std::int64_t columns = w.columns;
  for (std::int64_t r = 0; r < count;) {
    const std::int64_t group = (first + r) / w.group_rows, stop = std::min(count, (group + 1) * w.group_rows - first);
    const std::uint16_t* table = w.tables + group * 16;
    const Tables split(table);
    for (; r < stop; ++r) {
      const std::uint8_t* indices = w.indices + (first + r) * (columns / 2);
      if (m == 1) y[r] = multiply_row(indices, table, split, columns, x);
      else if (m == 2) multiply_row_by_few<2>(indices, table, split, columns, x, y + r, stride);
      else if (m == 3) multiply_row_by_few<3>(indices, table, split, columns, x, y + r, stride);
      else multiply_row_by_few<4>(indices, table, split, columns, x, y + r, stride);
    }
  }
}

void expand_columns(const PaletteRows& w, std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end,
                    float* out) {
  for (std::int64_t r = 0; r < count; ++r, out += end - begin) {
    const std::uint16_t* table = w.tables + (first + r) / w.group_rows * 16;
    const std::uint8_t* indices = w.indices + (first + r) * (w.columns / 2);
    for (std::int64_t at = expand_vectors(indices, Tables(table), begin, end, out); at < end; ++at)
      out[at - begin] = table_value(indices, table, at);
  }
}

/// Rows of x in a panel: two vectors of each column.
std::int64_t panel_rows() { return static_cast<std::int64_t>(2 * hn::Lanes(Floats())); }

void pack_rows(const float* x, std::int64_t count, std::int64_t columns, bool reordered, float* out) {
  const std::int64_t panel = panel_rows(), block = block_columns(), whole = reordered ? columns / block * block : 0;
  std::vector<std::int64_t> sources;
  for (std::int64_t c = 0; c < std::min(whole, block); ++c) sources.push_back(source_column(c));
  for (std::int64_t i = 0; i < panel; ++i, x += columns) {
    if (i >= count) {
      for (std::int64_t c = 0; c < columns; ++c) out[c * panel + i] = 0;
      continue;
    }
    std::int64_t at = 0;
    for (; at < whole; at += block)
      for (std::int64_t c = 0; c < block; ++c) out[(at + c) * panel + i] = x[at + sources[static_cast<std::size_t>(c)]];
    for (; at < columns; ++at) out[at * panel + i] = x[at];
  }
}

/// sums[r][i] += sum over c of w[r][c] * x[c][i] for kRows rows of w and the panel's rows i of x: as many sums as registers
/// hold.
template <int kRows>
HWY_INLINE void add_panel_block(const float* x, const float* w, std::int64_t w_stride, std::int64_t columns,
                                float* sums, std::int64_t sums_stride) {
  const Floats df;
  const std::size_t lanes = hn::Lanes(df);
  using V = hn::Vec<Floats>;
  V a0 = hn::LoadU(df, sums), b0 = hn::LoadU(df, sums + lanes);
  [[maybe_unused]] V a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0;
  const auto load = [&](int r, V& a, V& b) HWY_ATTR {
    a = hn::LoadU(df, sums + r * sums_stride);
    b = hn::LoadU(df, sums + r * sums_stride + lanes);
  };
  const auto store = [&](int r, V a, V b) HWY_ATTR {
    hn::StoreU(a, df, sums + r * sums_stride);
    hn::StoreU(b, df, sums + r * sums_stride + lanes);
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

void add_panels(const float* x, std::int64_t m, std::int64_t x_columns, std::int64_t begin, const float* w,
                std::int64_t rows, std::int64_t columns, float* sums) {
  const std::int64_t panel = panel_rows(), stride = (m + panel - 1) / panel * panel;
  for (std::int64_t first = 0; first < m; first += panel) {
    const float* from = x + first * x_columns + begin * panel;
    std::int64_t r = 0;
    for (; r + 6 <= rows; r += 6)
      add_panel_block<6>(from, w + r * columns, columns, columns, sums + r * stride + first, stride);
    for (; r < rows; ++r)
      add_panel_block<1>(from, w + r * columns, columns, columns, sums + r * stride + first, stride);
  }
}

// ---------------------------------------------------------------- 8 bits

/// The scales of x lie this many columns apart.
constexpr std::int64_t kScaleColumns = 64;

/// A row of x: for every kScaleColumns columns the even ones, the odd ones, and a scale. Scales come first.
void quantize_row(const float* x, std::int64_t columns, std::byte* out) {
  const std::int64_t blocks = (columns + kScaleColumns - 1) / kScaleColumns;
  auto* scales = reinterpret_cast<float*>(out);
  auto* bytes = reinterpret_cast<std::int8_t*>(out + (static_cast<std::size_t>(blocks) * sizeof(float) + 63) / 64 * 64);
  for (std::int64_t b = 0; b < blocks; ++b, bytes += kScaleColumns) {
    const float* from = x + b * kScaleColumns;
    const std::int64_t count = std::min(kScaleColumns, columns - b * kScaleColumns);
    float top = 0;
    for (std::int64_t c = 0; c < count; ++c) top = std::max(top, std::abs(from[c]));
    scales[b] = top / 127;
    const float inverse = top > 0 ? 127 / top : 0;
    for (std::int64_t c = 0; c < kScaleColumns; ++c) {
      const float v = c < count ? from[c] * inverse : 0;
      bytes[c / 2 + c % 2 * (kScaleColumns / 2)] =
          static_cast<std::int8_t>(static_cast<int>(v + (v < 0 ? -0.5F : 0.5F)));
    }
  }
}

#if HWY_TARGET != HWY_SCALAR

/// Columns of a vector of indices, at most 32 bytes of them.
using Narrow = hn::CappedTag<std::uint8_t, 32>;
using Ints = hn::Repartition<std::int32_t, Narrow>;

/// Sums of products of two vectors of signed bytes, in 32-bit lanes. Neither holds -128.
template <class V8, class V32>
HWY_INLINE V32 add_byte_products(V8 w, V8 x, V32 sum) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(w.raw), _mm256_sign_epi8(x.raw, w.raw));
  return V32{_mm256_add_epi32(sum.raw, _mm256_madd_epi16(products, _mm256_set1_epi16(1)))};
#else
  const Ints d32;
  const hn::Repartition<std::int16_t, Narrow> d16;
  const hn::Half<hn::Repartition<std::int8_t, Narrow>> dh;
  auto rest = hn::Zero(d32);
  const auto add = [&](auto a, auto b) HWY_ATTR {
    sum = hn::ReorderWidenMulAccumulate(d32, hn::PromoteTo(d16, a), hn::PromoteTo(d16, b), sum, rest);
  };
  add(hn::LowerHalf(dh, w), hn::LowerHalf(dh, x));
  add(hn::UpperHalf(dh, w), hn::UpperHalf(dh, x));
  return hn::Add(sum, rest);
#endif
}

/// Whole blocks of kScaleColumns; returns their number.
std::int64_t multiply_blocks(const std::uint8_t* indices, const std::int8_t* table, std::int64_t columns,
                             const std::int8_t* x, const float* scales, float& result) {
  const Narrow d;
  const Ints d32;
  const hn::Repartition<float, Narrow> df;
  const hn::Repartition<std::int8_t, Narrow> d8;
  const auto lookup = hn::LoadDup128(d, reinterpret_cast<const std::uint8_t*>(table));
  auto total = hn::Zero(df);
  std::int64_t b = 0;
  for (; (b + 1) * kScaleColumns <= columns; ++b) {
    auto sum = hn::Zero(d32);
    for (std::size_t i = 0; i < kScaleColumns / 2; i += hn::Lanes(d)) {
      const auto v = hn::LoadU(d, indices + b * (kScaleColumns / 2) + i);
      const auto even = hn::BitCast(d8, hn::TableLookupBytes(lookup, hn::And(v, hn::Set(d, 0x0f))));
      const auto odd = hn::BitCast(d8, hn::TableLookupBytes(lookup, hn::ShiftRight<4>(v)));
      const std::int8_t* from = x + b * kScaleColumns + i;
      sum = add_byte_products(even, hn::LoadU(d8, from), sum);
      sum = add_byte_products(odd, hn::LoadU(d8, from + kScaleColumns / 2), sum);
    }
    total = hn::MulAdd(hn::ConvertTo(df, sum), hn::Set(df, scales[b]), total);
  }
  result = hn::GetLane(hn::SumOfLanes(df, total));
  return b;
}

#else

std::int64_t multiply_blocks(const std::uint8_t*, const std::int8_t*, std::int64_t, const std::int8_t*, const float*,
                             float&) {
  return 0;
}

#endif

float multiply_row_fast(const std::uint8_t* indices, const std::int8_t* table, std::int64_t columns,
                        const std::byte* x) {
  const std::int64_t blocks = (columns + kScaleColumns - 1) / kScaleColumns;
  const auto* scales = reinterpret_cast<const float*>(x);
  const auto* bytes =
      reinterpret_cast<const std::int8_t*>(x + (static_cast<std::size_t>(blocks) * sizeof(float) + 63) / 64 * 64);
  float result = 0;
  for (std::int64_t b = multiply_blocks(indices, table, columns, bytes, scales, result); b < blocks; ++b) {
    std::int32_t sum = 0;
    for (std::int64_t c = b * kScaleColumns; c < std::min(columns, (b + 1) * kScaleColumns); ++c)
      sum += table[(indices[c / 2] >> (c % 2 * 4)) & 15] *
             bytes[b * kScaleColumns + c % kScaleColumns / 2 + c % 2 * (kScaleColumns / 2)];
    result += static_cast<float>(sum) * scales[b];
  }
  return result;
}

void multiply_fast(const PaletteRows& w, const std::int8_t* tables8, const float* scales, std::int64_t first,
                   std::int64_t count, const std::byte* x, float* y) {
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t group = (first + r) / w.group_rows;
    y[r] = scales[group] *
           multiply_row_fast(w.indices + (first + r) * (w.columns / 2), tables8 + group * 16, w.columns, x);
  }
}

}  // namespace
}  // namespace d2c::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::kernels {
namespace {

HWY_EXPORT(reorder_rows);
HWY_EXPORT(multiply);
HWY_EXPORT(expand_columns);
HWY_EXPORT(panel_rows);
HWY_EXPORT(pack_rows);
HWY_EXPORT(add_panels);
HWY_EXPORT(quantize_row);
HWY_EXPORT(multiply_fast);

}  // namespace

void reorder(const float* x, std::int64_t m, std::int64_t columns, float* out) {
  HWY_DYNAMIC_DISPATCH(reorder_rows)(x, m, columns, out);
}

void multiply_rows(const PaletteRows& w, std::int64_t first, std::int64_t count, const float* x, std::int64_t m,
                   float* y, std::int64_t stride) {
  HWY_DYNAMIC_DISPATCH(multiply)(w, first, count, x, m, y, stride);
}

void expand_rows(const PaletteRows& w, std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end,
                 float* out) {
  HWY_DYNAMIC_DISPATCH(expand_columns)(w, first, count, begin, end, out);
}

std::int64_t panel_size() { return HWY_DYNAMIC_DISPATCH(panel_rows)(); }

void pack_panel(const float* x, std::int64_t count, std::int64_t columns, bool reordered, float* out) {
  HWY_DYNAMIC_DISPATCH(pack_rows)(x, count, columns, reordered, out);
}

void add_products(const float* x, std::int64_t m, std::int64_t x_columns, std::int64_t begin, const float* w,
                  std::int64_t rows, std::int64_t columns, float* sums) {
  HWY_DYNAMIC_DISPATCH(add_panels)(x, m, x_columns, begin, w, rows, columns, sums);
}

std::size_t quantized_bytes(std::int64_t columns) {
  const auto blocks = static_cast<std::size_t>(columns + 63) / 64;
  return (blocks * sizeof(float) + 63) / 64 * 64 + blocks * 64;
}

void quantize(const float* x, std::int64_t columns, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(quantize_row)(x, columns, out);
}

void multiply_rows_fast(const PaletteRows& w, const std::int8_t* tables8, const float* scales, std::int64_t first,
                        std::int64_t count, const std::byte* x, float* y) {
  HWY_DYNAMIC_DISPATCH(multiply_fast)(w, tables8, scales, first, count, x, y);
}

}  // namespace d2c::kernels
#endif
