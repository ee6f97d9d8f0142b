#include "libs/kernels/weight_rows.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

// Neither differs here from the next lower instruction set.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "libs/kernels/weight_rows.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace d2c::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using View = WeightRows::View;
using Scheme = StoredMatrix::Scheme;

// Two blocks of 16 bytes at most: what is looked up by blocks then stands for columns side by side.
using Bytes = hn::CappedTag<std::uint8_t, 32>;
using Floats = hn::Repartition<float, Bytes>;
using Halves = hn::Repartition<hwy::float16_t, Bytes>;
using FewHalves = hn::Half<Halves>;
using Block = hn::Vec<Bytes>;

constexpr std::int64_t kBlock = View::kBlock;

// ---------------------------------------------------------------- elements one by one

std::uint32_t element(const View& w, std::int64_t i) {
  const auto bits = static_cast<std::size_t>(w.m.bits), first = static_cast<std::size_t>(i) * bits;
  const std::byte* at = w.m.data.data() + first / 8;
  const std::size_t have = first % 8 + bits > 8 ? 2 : 1;
  std::uint16_t word = 0;
  std::memcpy(&word, at, have);
  return (static_cast<std::uint32_t>(word) >> (first % 8)) & ((1u << bits) - 1);
}

float round_to_half(float v) { return half_to_float(float_to_half(v)); }

/// Element `i`, which lies in group `g`.
float value(const View& w, std::int64_t g, std::int64_t i) {
  const auto load = [&]<class T>(T v) {
    std::memcpy(&v, w.m.data.data() + static_cast<std::size_t>(i) * sizeof v, sizeof v);
    return v;
  };
  const auto group = static_cast<std::size_t>(g);
  switch (w.m.scheme) {
    case Scheme::floats: return load(0.0F);
    case Scheme::halves: return half_to_float(load(std::uint16_t{0}));
    case Scheme::palette: return w.m.tables[(group << w.m.bits) + element(w, i)];
    case Scheme::integers: break;
  }
  const auto raw = static_cast<std::int32_t>(element(w, i)), half = 1 << (w.m.bits - 1);
  const auto number = static_cast<float>(w.m.is_signed ? (raw ^ half) - half : raw);
  const float v = w.m.tables[group] * (w.m.offsets.empty() ? number : number - w.m.offsets[group]);
  return w.m.rounds_to_half ? round_to_half(v) : v;
}

/// Calls each(row, group) for `count` rows, `group` being the one of the row's first columns.
template <class Each>
HWY_INLINE void for_each_row(const View& w, std::int64_t first, std::int64_t count, Each&& each) {
  const std::int64_t end = first + count;
  for (std::int64_t row = first, group = first / w.group_rows; row < end; ++group)
    for (const std::int64_t stop = std::min(end, (group + 1) * w.group_rows); row < stop; ++row)
      each(row, group * w.m.column_groups);
}

/// Calls run(group, begin, end) for the columns [begin, end) of a row, those of each group at once.
template <class Run>
HWY_INLINE void for_each_run(const View& w, std::int64_t group, std::int64_t begin, std::int64_t end, Run&& run) {
  std::int64_t stop = begin;
  if (w.m.column_groups > 1) {
    group += begin / w.group_columns;
    stop -= begin % w.group_columns;
  }
  for (std::int64_t at = begin; at < end; at = stop, ++group) {
    stop += w.group_columns;
    run(group, at, std::min(stop, end));
  }
}

#if HWY_TARGET != HWY_SCALAR

// ---------------------------------------------------------------- indices

/// Blocks of 16 bytes, kStep bytes apart.
template <std::size_t kStep, class D>
HWY_INLINE hn::Vec<D> load_blocks(D d, const std::uint8_t* from) {
  if constexpr (hn::MaxLanes(D()) <= 16) {
    return hn::LoadU(d, from);
  } else {
    const hn::Half<D> dh;
    return hn::Combine(d, load_blocks<kStep>(dh, from + kStep), load_blocks<kStep>(dh, from));
  }
}

/// A vector of elements of kBits, each in a byte of its own. Reads bytes_read<kBits>() bytes.
///
/// Two elements are brought into each 16-bit lane, moved to its upper end, and then apart.
template <int kBits>
HWY_INLINE Block unpack(const std::uint8_t* from) {
  const Bytes d;
  if constexpr (kBits == 8) return hn::LoadU(d, from);
  const hn::Repartition<std::uint16_t, Bytes> d16;
  static constexpr auto kByte = [](int i) { return static_cast<std::uint8_t>(i / 2 * 2 * kBits / 8 + i % 2); };
  static constexpr auto kUp = [](int lane) {
    return static_cast<std::uint16_t>(1 << (16 - 2 * kBits - lane * 2 * kBits % 8));
  };
  alignas(16) static constexpr std::uint8_t kBytes[16] = {
      kByte(0), kByte(1), kByte(2),  kByte(3),  kByte(4),  kByte(5),  kByte(6),  kByte(7),
      kByte(8), kByte(9), kByte(10), kByte(11), kByte(12), kByte(13), kByte(14), kByte(15)};
  alignas(16) static constexpr std::uint16_t kUps[8] = {kUp(0), kUp(1), kUp(2), kUp(3), kUp(4), kUp(5), kUp(6), kUp(7)};
  constexpr std::uint16_t kMask = (1u << kBits) - 1;
  const auto pair = hn::TableLookupBytes(load_blocks<2 * kBits>(d, from), hn::LoadDup128(d, kBytes));
  const auto upper = hn::Mul(hn::BitCast(d16, pair), hn::LoadDup128(d16, kUps));
  return hn::BitCast(d, hn::Or(hn::And(hn::ShiftRight<16 - 2 * kBits>(upper), hn::Set(d16, kMask)),
                               hn::And(hn::ShiftRight<8 - kBits>(upper), hn::Set(d16, kMask << 8))));
}

/// 4 bits are the usual case and need less.
template <>
HWY_INLINE Block unpack<4>(const std::uint8_t* from) {
  const Bytes d;
  const hn::Repartition<std::uint16_t, Bytes> d16;
  const auto two = hn::PromoteTo(d16, hn::LoadU(hn::Half<Bytes>(), from));
  return hn::And(hn::BitCast(d, hn::Or(two, hn::ShiftLeft<4>(two))), hn::Set(d, 0x0f));
}

constexpr auto kVector = static_cast<std::int64_t>(hn::MaxLanes(Bytes()));

template <int kBits>
constexpr std::int64_t bytes_read() {
  if (kBits == 8) return kVector;
  if (kBits == 4) return kVector / 2;
  return (kVector / 16 - 1) * 2 * kBits + 16;
}

/// The byte that each index names in a table of 2^kBits.
template <int kBits>
HWY_INLINE Block look_up(const std::uint8_t* table, Block indices, Block low) {
  const Bytes d;
  if constexpr (kBits <= 4) {
    return hn::TableLookupBytes(hn::LoadDup128(d, table), low);
  } else {
    const hn::RebindToSigned<Bytes> di;
    const hn::Repartition<std::uint16_t, Bytes> d16;
    // The deciding bit in the byte's highest place; what the shift brings in below it does not matter.
    const auto decides = hn::BitCast(di, hn::ShiftLeft<8 - kBits>(hn::BitCast(d16, indices)));
    const auto upper = look_up<kBits - 1>(table + (1 << (kBits - 1)), indices, low);
    const auto lower = look_up<kBits - 1>(table, indices, low);
    return hn::BitCast(d, hn::IfNegativeThenElse(decides, hn::BitCast(di, upper), hn::BitCast(di, lower)));
  }
}

template <int kBits>
HWY_INLINE Block look_up(const std::uint8_t* table, Block indices) {
  return look_up<kBits>(table, indices, kBits <= 4 ? indices : hn::And(indices, hn::Set(Bytes(), 0x0f)));
}

// ---------------------------------------------------------------- steps: some columns of a row as floats

// use(k, offset, floats): vector k of a step stands for columns from `offset` on.

/// Two bytes of each of a vector's entries.
template <class Use>
HWY_INLINE void join(Block low, Block high, std::int64_t at, Use&& use) {
  const Bytes d;
  const Floats df;
  const FewHalves dh;
  constexpr std::int64_t kUpper = kVector == 32 ? 16 : 4;  // interleaving keeps to its block of 16
  const auto a = hn::BitCast(Halves(), hn::InterleaveLower(d, low, high));
  const auto b = hn::BitCast(Halves(), hn::InterleaveUpper(d, low, high));
  use(0, at, hn::PromoteTo(df, hn::LowerHalf(dh, a)));
  use(1, at + kUpper, hn::PromoteTo(df, hn::UpperHalf(dh, a)));
  use(2, at + 8, hn::PromoteTo(df, hn::LowerHalf(dh, b)));
  use(3, at + 8 + kUpper, hn::PromoteTo(df, hn::UpperHalf(dh, b)));
}

/// Four bytes of each.
template <class Use>
HWY_INLINE void join(Block byte0, Block byte1, Block byte2, Block byte3, std::int64_t at, Use&& use) {
  const Bytes d;
  const hn::Repartition<std::uint16_t, Bytes> d16;
  const Floats df;
  const auto pair = [&](int k, auto low, auto high) HWY_ATTR {
    const auto first = hn::BitCast(df, hn::InterleaveLower(d16, low, high));
    const auto second = hn::BitCast(df, hn::InterleaveUpper(d16, low, high));
    const std::int64_t from = at + k * 4;
    if constexpr (kVector == 32) {
      use(k, from, hn::ConcatLowerLower(df, second, first));
      use(k + 1, from + 16, hn::ConcatUpperUpper(df, second, first));
    } else {
      use(k, from, first);
      use(k + 1, from + 4, second);
    }
  };
  pair(0, hn::BitCast(d16, hn::InterleaveLower(d, byte0, byte1)),
       hn::BitCast(d16, hn::InterleaveLower(d, byte2, byte3)));
  pair(2, hn::BitCast(d16, hn::InterleaveUpper(d, byte0, byte1)),
       hn::BitCast(d16, hn::InterleaveUpper(d, byte2, byte3)));
}

/// The entries that indices name.
template <int kBits, int kPlanes, class Use>
HWY_INLINE void look_up_floats(const View& w, std::int64_t group, Block indices, std::int64_t at, Use&& use) {
  constexpr std::int64_t kEntries = std::max(16, 1 << kBits);
  const std::uint8_t* bytes = w.bytes + group * (kPlanes * kEntries);
  const auto plane = [&](std::int64_t k) HWY_ATTR { return look_up<kBits>(bytes + k * kEntries, indices); };
  if constexpr (kPlanes == 2) join(plane(0), plane(1), at, use);
  else join(plane(0), plane(1), plane(2), plane(3), at, use);
}

template <int kBits, int kPlanes>
struct PaletteStep {
  static constexpr std::int64_t kColumns = kVector, kBytes = kVector * kBits / 8, kReads = bytes_read<kBits>();

  template <class Use>
  static HWY_INLINE void run(const View& w, std::int64_t group, const std::uint8_t* from, Use&& use) {
    look_up_floats<kBits, kPlanes>(w, group, unpack<kBits>(from), 0, use);
  }
};

/// 4 bits, the even columns of a block first and then the odd ones: indices need not be brought into order.
template <int kPlanes>
struct PairStep {
  static constexpr std::int64_t kColumns = kBlock, kBytes = kBlock / 2, kReads = kBytes;

  template <class Use>
  static HWY_INLINE void run(const View& w, std::int64_t group, const std::uint8_t* from, Use&& use) {
    const Bytes d;
    for (std::int64_t i = 0; i < kBytes; i += kVector) {
      const auto two = hn::LoadU(d, from + i);
      look_up_floats<4, kPlanes>(w, group, hn::And(two, hn::Set(d, 0x0f)), i, use);
      look_up_floats<4, kPlanes>(w, group, hn::ShiftRight<4>(two), kBlock / 2 + i, use);
    }
  }
};

/// Four vectors, loaded and made floats by `Load`.
template <class Number, class Load>
struct NumberStep {
  static constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(Floats())), kColumns = 4 * kLanes;
  static constexpr std::int64_t kBytes = kColumns * static_cast<std::int64_t>(sizeof(Number)), kReads = kBytes;

  template <class Use>
  static HWY_INLINE void run(const View& w, std::int64_t group, const std::uint8_t* from, Use&& use) {
    const Load load(w, group);
    for (int k = 0; k < 4; ++k) use(k, k * kLanes, load(reinterpret_cast<const Number*>(from) + k * kLanes));
  }
};

struct LoadFloats {
  LoadFloats(const View&, std::int64_t) {}
  HWY_INLINE hn::Vec<Floats> operator()(const float* from) const { return hn::LoadU(Floats(), from); }
};
struct LoadHalves {
  LoadHalves(const View&, std::int64_t) {}
  HWY_INLINE hn::Vec<Floats> operator()(const hwy::float16_t* from) const {
    return hn::PromoteTo(Floats(), hn::LoadU(FewHalves(), from));
  }
};
struct LoadIntegers {
  HWY_INLINE LoadIntegers(const View& w, std::int64_t group)
      : scale(hn::Set(Floats(), w.m.tables[static_cast<std::size_t>(group)])),
        offset(hn::Set(Floats(), w.m.offsets.empty() ? 0 : w.m.offsets[static_cast<std::size_t>(group)])),
        rounds(w.m.rounds_to_half) {}
  template <class Number>
  HWY_INLINE hn::Vec<Floats> operator()(const Number* from) const {
    const Floats df;
    const hn::Rebind<std::int32_t, Floats> di;
    const auto number = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(hn::Rebind<Number, Floats>(), from)));
    const auto v = hn::Mul(scale, hn::Sub(number, offset));
    return rounds ? hn::PromoteTo(df, hn::DemoteTo(FewHalves(), v)) : v;
  }

  hn::Vec<Floats> scale, offset;
  bool rounds;
};

using FloatStep = NumberStep<float, LoadFloats>;
using HalfStep = NumberStep<hwy::float16_t, LoadHalves>;
template <class Number>
using IntegerStep = NumberStep<Number, LoadIntegers>;

/// Integers of 4 bits by way of 8.
struct NibbleStep {
  static constexpr std::int64_t kColumns = kVector, kBytes = kVector / 2, kReads = kBytes;

  template <class Use>
  static HWY_INLINE void run(const View& w, std::int64_t group, const std::uint8_t* from, Use&& use) {
    const Bytes d;
    const auto half = hn::Set(d, w.m.is_signed ? 8 : 0);
    alignas(32) std::uint8_t eight[kVector];
    hn::Store(hn::Sub(hn::Xor(unpack<4>(from), half), half), d, eight);
    IntegerStep<std::int8_t>::run(w, group, eight, use);
  }
};

// Before AVX2 Highway's own rounding to fp16 is not to nearest; those machines do such weights one by one.
constexpr bool kRoundsToNearest = !HWY_ARCH_X86 || HWY_TARGET <= HWY_AVX2;

/// Calls body(step) with the step that serves the matrix; returns false where none does. `pairs`: may columns be paired?
template <class Body>
HWY_INLINE bool with_step(const View& w, bool pairs, Body&& body) {
  const auto palette = [&]<int kPlanes>(std::integral_constant<int, kPlanes>) HWY_ATTR {
    switch (w.m.bits) {
      case 1: return body(PaletteStep<1, kPlanes>());
      case 2: return body(PaletteStep<2, kPlanes>());
      case 3: return body(PaletteStep<3, kPlanes>());
      case 4: return pairs ? body(PairStep<kPlanes>()) : body(PaletteStep<4, kPlanes>());
      case 6: return body(PaletteStep<6, kPlanes>());
      default: return body(PaletteStep<8, kPlanes>());
    }
  };
  switch (w.m.scheme) {
    case Scheme::floats: body(FloatStep()); return true;
    case Scheme::halves: body(HalfStep()); return true;
    case Scheme::palette:
      if (w.planes == 2) palette(std::integral_constant<int, 2>());
      else palette(std::integral_constant<int, 4>());
      return true;
    case Scheme::integers: break;
  }
  if (w.m.rounds_to_half && !kRoundsToNearest) return false;
  if (w.m.bits == 4) body(NibbleStep());
  else if (w.m.is_signed) body(IntegerStep<std::int8_t>());
  else body(IntegerStep<std::uint8_t>());
  return true;
}

/// Runs Step over the columns of a run as far as whole steps and the matrix's last byte allow; returns where it stopped.
template <class Step, class Use>
HWY_INLINE std::int64_t take_steps(const View& w, std::int64_t row, std::int64_t group, std::int64_t at,
                                   std::int64_t end, Use&& use) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(w.m.data.data());
  const std::uint8_t *from = bytes + (row * w.m.columns + at) * w.m.bits / 8, *last = bytes + w.m.data.size();
  for (; at + Step::kColumns <= end && last - from >= Step::kReads; at += Step::kColumns, from += Step::kBytes)
    Step::run(w, group, from, [&](int k, std::int64_t offset, auto v) HWY_ATTR { use(k, at + offset, v); });
  return at;
}

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

// ---------------------------------------------------------------- 8 bits

using Ints = hn::Repartition<std::int32_t, Bytes>;
using Signed = hn::RebindToSigned<Bytes>;

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

/// The indices of a block's columns, vector by vector: use(first column, indices).
template <int kBits, bool kPairs, class Use>
HWY_INLINE void block_indices(const std::uint8_t* from, Use&& use) {
  if constexpr (kPairs) {
    const Bytes d;
    for (std::int64_t i = 0; i < kBlock / 2; i += kVector) {
      const auto two = hn::LoadU(d, from + i);
      use(i, hn::And(two, hn::Set(d, 0x0f)));
      use(kBlock / 2 + i, hn::ShiftRight<4>(two));
    }
  } else {
    for (std::int64_t i = 0; i < kBlock; i += kVector) use(i, unpack<kBits>(from + i * kBits / 8));
  }
}

/// Whole blocks of a run; adds to `sum` and returns where it stopped.
template <int kBits>
HWY_INLINE std::int64_t multiply_blocks(const View& w, std::int64_t row, std::int64_t group, std::int64_t at,
                                        std::int64_t end, const float* x_scales, const std::int8_t* x, float& sum) {
  constexpr bool kPairs = kBits == 4;
  constexpr std::int64_t kReads = kPairs ? kBlock / 2 : (kBlock - kVector) * kBits / 8 + bytes_read<kBits>();
  const Floats df;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(w.m.data.data());
  const auto* table = reinterpret_cast<const std::uint8_t*>(w.tables8 + group * w.entries);
  const std::uint8_t *from = bytes + (row * w.m.columns + at) * kBits / 8, *last = bytes + w.m.data.size();
  const std::int64_t room = last - from - kReads;
  const std::int64_t blocks = room < 0 ? 0 : std::min((end - at) / kBlock, room / (kBlock * kBits / 8) + 1);
  const float* scale = x_scales + at / kBlock;
  x += at;
  auto total = hn::Zero(df);
  for (std::int64_t b = 0; b < blocks; ++b, from += kBlock * kBits / 8, x += kBlock) {
    auto products = hn::Zero(Ints());
    block_indices<kBits, kPairs>(from, [&](std::int64_t first, Block indices) HWY_ATTR {
      products = add_byte_products(hn::BitCast(Signed(), look_up<kBits>(table, indices)),
                                   hn::LoadU(Signed(), x + first), products);
    });
    total = hn::MulAdd(hn::ConvertTo(df, products), hn::Set(df, scale[b]), total);
  }
  sum += hn::GetLane(hn::SumOfLanes(df, total));
  return at + blocks * kBlock;
}

#else  // no shuffles: everything is done one by one

template <class Body>
bool with_step(const View&, bool, Body&&) {
  return false;
}
template <int kBits>
std::int64_t multiply_blocks(const View&, std::int64_t, std::int64_t, std::int64_t at, std::int64_t, const float*,
                             const std::int8_t*, float&) {
  return at;
}

#endif

/// Where column `c` of a row stands in x: whole blocks of a pairing matrix have their even columns first.
std::int64_t place_of(const View& w, std::int64_t c) {
  if (!w.pairs || c / kBlock * kBlock + kBlock > w.m.columns) return c;
  return c / kBlock * kBlock + c % kBlock / 2 + c % 2 * (kBlock / 2);
}

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
    sum += part * w.scales8[group];
  });
  return sum;
}

/// Calls body(bits of a palette as a constant).
template <class Body>
HWY_INLINE void with_bits(const View& w, Body&& body) {
  switch (w.m.bits) {
    case 1: return body(std::integral_constant<int, 1>());
    case 2: return body(std::integral_constant<int, 2>());
    case 3: return body(std::integral_constant<int, 3>());
    case 4: return body(std::integral_constant<int, 4>());
    case 6: return body(std::integral_constant<int, 6>());
    default: return body(std::integral_constant<int, 8>());
  }
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

// ---------------------------------------------------------------- x for few rows

/// Calls use(place, floats) for the vectors of a whole block, its columns paired or not.
template <class Use>
HWY_INLINE void block_vectors(const float* x, bool pairs, Use&& use) {
  const Floats df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  if (!pairs) {
    for (std::int64_t c = 0; c < kBlock; c += lanes) use(c, hn::LoadU(df, x + c));
    return;
  }
  for (std::int64_t c = 0; c < kBlock / 2; c += lanes) {
    hn::Vec<Floats> even, odd;
    hn::LoadInterleaved2(df, x + 2 * c, even, odd);
    use(c, even);
    use(kBlock / 2 + c, odd);
  }
}

void pair_columns(const float* x, std::int64_t columns, float* out) {
  const Floats df;
  std::int64_t at = 0;
  for (; at + kBlock <= columns; at += kBlock)
    block_vectors(x + at, true, [&](std::int64_t c, auto v) HWY_ATTR { hn::StoreU(v, df, out + at + c); });
  std::copy(x + at, x + columns, out + at);
}

/// A block of x to 8 bits; returns its scale.
float round_block(const float* x, bool pairs, std::int8_t* out) {
  const Floats df;
  const hn::Rebind<std::int8_t, Floats> d8;
  auto most = hn::Zero(df);
  block_vectors(x, pairs, [&](std::int64_t, auto v) HWY_ATTR { most = hn::Max(most, hn::Abs(v)); });
  const float top = hn::GetLane(hn::MaxOfLanes(df, most));
  const auto inverse = hn::Set(df, top > 0 ? 127 / top : 0);
  block_vectors(x, pairs, [&](std::int64_t c, auto v) HWY_ATTR {
    hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(hn::Mul(v, inverse))), d8, out + c);
  });
  return top / 127;
}

void round_row(const View& w, const float* x, std::byte* out) {
  auto* scales = reinterpret_cast<float*>(out);
  auto* bytes = reinterpret_cast<std::int8_t*>(out + w.scale_bytes());
  std::int64_t at = 0;
  for (; at + kBlock <= w.m.columns; at += kBlock) scales[at / kBlock] = round_block(x + at, w.pairs, bytes + at);
  if (at == w.m.columns) return;
  float last[kBlock] = {};
  std::copy(x + at, x + w.m.columns, last);
  scales[at / kBlock] = round_block(last, false, bytes + at);
}

void prepare(const View& w, const float* x, std::byte* out) {
  if (w.tables8 != nullptr) round_row(w, x, out);
  else pair_columns(x, w.m.columns, reinterpret_cast<float*>(out));
}

// ---------------------------------------------------------------- many rows

using Wide = hn::ScalableTag<float>;

/// Rows of x in a panel: two vectors of each column.
std::int64_t panel_rows() { return static_cast<std::int64_t>(2 * hn::Lanes(Wide())); }

void pack_rows(const float* x, std::int64_t count, std::int64_t columns, float* out) {
  const std::int64_t panel = panel_rows();
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
                                float* sums, std::int64_t sums_stride) {
  const Wide df;
  const std::size_t lanes = hn::Lanes(df);
  using V = hn::Vec<Wide>;
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

}  // namespace
}  // namespace d2c::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::kernels {
namespace {

HWY_EXPORT(multiply);
HWY_EXPORT(expand);
HWY_EXPORT(prepare);
HWY_EXPORT(panel_rows);
HWY_EXPORT(pack_rows);
HWY_EXPORT(add_panels);

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
  for (std::size_t g = 0; g < groups; ++g) {
    const auto table = view_.m.tables.subspan(g * given, given);
    float top = 0;
    for (const float v : table) top = std::max(top, std::abs(v));
    const float scale = top > 0 ? top / 127 : 1;
    scales8_.push_back(scale);
    for (std::size_t i = 0; i < given; ++i)
      tables8_[g * entries + i] = static_cast<std::int8_t>(std::lround(table[i] / scale));
  }
  view_.tables8 = tables8_.data();
  view_.scales8 = scales8_.data();
}

std::size_t WeightRows::prepared_bytes() const noexcept {
  if (view_.tables8 != nullptr) return view_.scale_bytes() + view_.blocks() * std::size_t{View::kBlock};
  return view_.pairs ? static_cast<std::size_t>(view_.m.columns) * sizeof(float) : 0;
}

void WeightRows::prepare(const float* x, std::byte* out) const { HWY_DYNAMIC_DISPATCH(prepare)(view_, x, out); }

void WeightRows::multiply(std::int64_t first, std::int64_t count, const void* x, float* y) const {
  HWY_DYNAMIC_DISPATCH(multiply)(view_, first, count, x, y);
}

void WeightRows::expand(std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end,
                        float* out) const {
  HWY_DYNAMIC_DISPATCH(expand)(view_, first, count, begin, end, out);
}

std::int64_t panel_size() { return HWY_DYNAMIC_DISPATCH(panel_rows)(); }

void pack_panel(const float* x, std::int64_t count, std::int64_t columns, float* out) {
  HWY_DYNAMIC_DISPATCH(pack_rows)(x, count, columns, out);
}

void add_products(const float* x, std::int64_t m, std::int64_t x_columns, std::int64_t begin, const float* w,
                  std::int64_t rows, std::int64_t columns, float* sums) {
  HWY_DYNAMIC_DISPATCH(add_panels)(x, m, x_columns, begin, w, rows, columns, sums);
}

}  // namespace d2c::kernels
#endif
