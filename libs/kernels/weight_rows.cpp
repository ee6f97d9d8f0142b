#include "libs/kernels/weight_rows.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

// Neither differs here from the next lower instruction set.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "libs/kernels/weight_rows.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "libs/kernels/weight_steps-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace d2c::kernels::HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

/// Four sums, so that no multiply-add waits for the one before.
template <class Step>
float multiply_row(const View& w, std::int64_t row, std::int64_t row_group, const float* x) {
  const Floats df;
  auto sum0 = hn::Zero(df), sum1 = hn::Zero(df), sum2 = hn::Zero(df), sum3 = hn::Zero(df);
  float rest = 0;
  for_each_run(w, row_group, 0, w.m.columns, [&](std::int64_t group, std::int64_t at, std::int64_t end) HWY_ATTR {
    at = take_steps<Step>(w, row, group, at, end, [&](int k, std::int64_t column, auto v) HWY_ATTR {
      auto& sum = k == 0 ? sum0 : k == 1 ? sum1 : k == 2 ? sum2 : sum3;
      sum = hn::MulAdd(v, hn::LoadU(df, x + column), sum);
    });
    for (; at < end; ++at) rest += value(w, group, row * w.m.columns + at) * x[at];
  });
  return rest + hn::GetLane(hn::SumOfLanes(df, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

// ---------------------------------------------------------------- 8 bits

using Ints = hn::Repartition<std::int32_t, Bytes>;
using Signed = hn::RebindToSigned<Bytes>;

/// Bytes from what is multiplied to what is asked for: the processor itself does not look past the end of a page.
constexpr std::int64_t kAhead = 2048;

/// Sums of products of two vectors of signed bytes, in 32-bit lanes. Neither holds -128.
template <class V8, class V32>
HWY_INLINE V32 add_byte_products(V8 w, V8 x, V32 sum) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(w.raw), _mm256_sign_epi8(x.raw, w.raw));
  return V32{_mm256_add_epi32(sum.raw, _mm256_madd_epi16(products, _mm256_set1_epi16(1)))};
#else
  const Ints d32;
  const hn::Repartition<std::int16_t, Bytes> d16;
  const hn::Half<Signed> dh;
  auto rest = hn::Zero(d32);
  const auto add = [&](auto a, auto b) HWY_ATTR {
    sum = hn::ReorderWidenMulAccumulate(d32, hn::PromoteTo(d16, a), hn::PromoteTo(d16, b), sum, rest);
  };
  add(hn::LowerHalf(dh, w), hn::LowerHalf(dh, x));
  add(hn::UpperHalf(dh, w), hn::UpperHalf(dh, x));
  return hn::Add(sum, rest);
#endif
}

/// Whole blocks of a run; adds to `sum` and returns where it stopped.
template <int kBits>
HWY_INLINE std::int64_t multiply_blocks(const View& w, std::int64_t row, std::int64_t group, std::int64_t at,
                                        std::int64_t end, const float* x_scales, const std::int8_t* x, float& sum) {
  const Floats df;
  const auto* table = reinterpret_cast<const std::uint8_t*>(w.tables8 + group * w.entries);
  const BlockRun<kBits> blocks(w, row, at, end);
  const std::uint8_t* from = blocks.from;
  const float* scale = x_scales + at / kBlock;
  x += at;
  auto total = hn::Zero(df);
  for (std::int64_t b = 0; b < blocks.count; ++b, from += blocks.kBytes, x += kBlock) {
    hwy::Prefetch(from + kAhead);
    auto products = hn::Zero(Ints());
    block_indices<kBits>(from, [&](std::int64_t first, Block indices) HWY_ATTR {
      const auto entries = hn::BitCast(Signed(), look_up<kBits>(table, indices));
      products = add_byte_products(entries, hn::LoadU(Signed(), x + first), products);
    });
    total = hn::MulAdd(hn::ConvertTo(df, products), hn::Set(df, scale[b]), total);
  }
  sum += hn::GetLane(hn::SumOfLanes(df, total));
  return at + blocks.count * kBlock;
}

#else

template <int kBits>
std::int64_t multiply_blocks(const View&, std::int64_t, std::int64_t, std::int64_t at, std::int64_t, const float*,
                             const std::int8_t*, float&) {
  return at;
}

#endif

template <int kBits>
float multiply_row_fast(const View& w, std::int64_t row, std::int64_t row_group, const std::byte* prepared) {
  const auto* x_scales = reinterpret_cast<const float*>(prepared);
  const auto* x = reinterpret_cast<const std::int8_t*>(prepared + w.scale_bytes());
  float sum = 0;
  for_each_run(w, row_group, 0, w.m.columns, [&](std::int64_t group, std::int64_t at, std::int64_t end) HWY_ATTR {
    float part = 0;
    at = multiply_blocks<kBits>(w, row, group, at, end, x_scales, x, part);
    for (; at < end; ++at)
      part += x_scales[at / kBlock] * static_cast<float>(x[place_of(w, at)]) *
              static_cast<float>(w.tables8[group * w.entries + element(w, row * w.m.columns + at)]);
    sum += part * w.tops[group] / View::kMost8;
  });
  return sum;
}

float multiply_row_one_by_one(const View& w, std::int64_t row, std::int64_t row_group, const float* x) {
  float sum = 0;
  for_each_run(w, row_group, 0, w.m.columns, [&](std::int64_t group, std::int64_t at, std::int64_t end) HWY_ATTR {
    for (; at < end; ++at) sum += value(w, group, row * w.m.columns + at) * x[place_of(w, at)];
  });
  return sum;
}

void multiply(const View& w, std::int64_t first, std::int64_t count, const void* x, float* y) {
  const auto* floats = static_cast<const float*>(x);
  const auto each = [&](auto product) HWY_ATTR {
    for_each_row(w, first, count, [&](std::int64_t r, std::int64_t g) HWY_ATTR { y[r - first] = product(r, g); });
  };
  if (w.tables8 != nullptr)
    return with_bits(w, [&]<int kBits>(std::integral_constant<int, kBits>) HWY_ATTR {
      each([&](std::int64_t r, std::int64_t g)
               HWY_ATTR { return multiply_row_fast<kBits>(w, r, g, static_cast<const std::byte*>(x)); });
    });
  const bool done = with_step(w, w.pairs, [&]<class Step>(Step) HWY_ATTR {
    each([&](std::int64_t r, std::int64_t g) HWY_ATTR { return multiply_row<Step>(w, r, g, floats); });
  });
  if (!done) each([&](std::int64_t r, std::int64_t g) HWY_ATTR { return multiply_row_one_by_one(w, r, g, floats); });
}

void pair_columns(const float* x, std::int64_t columns, float* out) {
  const Floats df;
  std::int64_t at = 0;
  for (; at + kBlock <= columns; at += kBlock)
    block_vectors(x + at, true, [&](std::int64_t c, auto v) HWY_ATTR { hn::StoreU(v, df, out + at + c); });
  std::copy(x + at, x + columns, out + at);
}

void round_row(const View& w, const float* x, std::byte* out) {
  auto* scales = reinterpret_cast<float*>(out);
  auto* bytes = reinterpret_cast<std::int8_t*>(out + w.scale_bytes());
  for (std::int64_t b = 0; b < static_cast<std::int64_t>(w.blocks()); ++b)
    scales[b] = round_block<127>(w, x, b, bytes + b * kBlock);
}

void prepare(const View& w, const float* x, std::byte* out) {
  if (w.tables8 != nullptr) round_row(w, x, out);
  else pair_columns(x, w.m.columns, reinterpret_cast<float*>(out));
}

}  // namespace
}  // namespace d2c::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::kernels {
namespace {

HWY_EXPORT(multiply);
HWY_EXPORT(prepare);

}  // namespace

bool WeightRows::serves(const StoredMatrix& m) noexcept {
  const std::int64_t group_columns = m.columns / m.column_groups;
  return m.columns * m.bits % 8 == 0 && (m.column_groups == 1 || group_columns * m.bits % 8 == 0);
}

WeightRows::WeightRows(const StoredMatrix& matrix, bool fast) {
  view_.m = matrix;
  view_.group_rows = matrix.rows / matrix.row_groups;
  view_.group_columns = matrix.columns / matrix.column_groups;
  if (matrix.scheme != StoredMatrix::Scheme::palette) return;
  const bool whole_blocks = matrix.column_groups == 1 || view_.group_columns % View::kBlock == 0;
  view_.pairs = matrix.bits == 4 && whole_blocks;
  view_.entries = std::max<std::int64_t>(16, std::int64_t{1} << matrix.bits);
  split_tables();
  if (fast && whole_blocks && std::ranges::all_of(matrix.tables, [](float v) { return std::isfinite(v); }))
    round_tables();
}

/// Entries by their first bytes, their second bytes and so on.
void WeightRows::split_tables() {
  const std::span<const float> tables = view_.m.tables;
  const bool halves = std::ranges::all_of(tables, [](float v) {
    return std::bit_cast<std::uint32_t>(half_to_float(float_to_half(v))) == std::bit_cast<std::uint32_t>(v);
  });
  view_.planes = halves ? 2 : 4;
  const std::size_t given = std::size_t{1} << view_.m.bits, entries = static_cast<std::size_t>(view_.entries),
                    planes = static_cast<std::size_t>(view_.planes), groups = tables.size() / given;
  bytes_.resize(groups * planes * entries);
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t i = 0; i < given; ++i) {
      const float v = tables[g * given + i];
      const std::uint32_t word = halves ? float_to_half(v) : std::bit_cast<std::uint32_t>(v);
      for (std::size_t p = 0; p < planes; ++p)
        bytes_[(g * planes + p) * entries + i] = static_cast<std::uint8_t>(word >> (8 * p));
    }
  view_.bytes = bytes_.data();
}

void WeightRows::round_tables() {
  const std::size_t given = std::size_t{1} << view_.m.bits, entries = static_cast<std::size_t>(view_.entries),
                    groups = view_.m.tables.size() / given;
  tables8_.resize(groups * entries);
  tables16_.resize(groups * 2 * entries);
  for (std::size_t g = 0; g < groups; ++g) {
    const auto table = view_.m.tables.subspan(g * given, given);
    float top = 0;
    for (const float v : table) top = std::max(top, std::abs(v));
    if (top == 0) top = 1;
    tops_.push_back(top);
    for (std::size_t i = 0; i < given; ++i) {
      tables8_[g * entries + i] = static_cast<std::int8_t>(std::lround(table[i] / top * View::kMost8));
      const auto word = static_cast<std::uint16_t>(std::lround(table[i] / top * View::kMost16));
      tables16_[2 * g * entries + i] = static_cast<std::uint8_t>(word);
      tables16_[(2 * g + 1) * entries + i] = static_cast<std::uint8_t>(word >> 8);
    }
  }
  view_.tables8 = tables8_.data();
  view_.tables16 = tables16_.data();
  view_.tops = tops_.data();
}

std::size_t WeightRows::prepared_bytes() const noexcept {
  if (view_.tables8 != nullptr) return view_.scale_bytes() + view_.blocks() * std::size_t{View::kBlock};
  return view_.pairs ? static_cast<std::size_t>(view_.m.columns) * sizeof(float) : 0;
}

void WeightRows::prepare(const float* x, std::byte* out) const { HWY_DYNAMIC_DISPATCH(prepare)(view_, x, out); }

void WeightRows::multiply(std::int64_t first, std::int64_t count, const void* x, float* y) const {
  HWY_DYNAMIC_DISPATCH(multiply)(view_, first, count, x, y);
}

}  // namespace d2c::kernels
#endif
