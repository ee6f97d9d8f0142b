// What products with compressed rows are made of, for each instruction set.
#include "libs/kernels/weight_rows.hpp"

#include <d2c/half.hpp>

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#if defined(D2C_WEIGHT_STEPS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef D2C_WEIGHT_STEPS_INL
#undef D2C_WEIGHT_STEPS_INL
#else
#define D2C_WEIGHT_STEPS_INL
#endif

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

HWY_MAYBE_UNUSED std::uint32_t element(const View& w, std::int64_t i) {
  const auto bits = static_cast<std::size_t>(w.m.bits), first = static_cast<std::size_t>(i) * bits;
  const std::byte* at = w.m.data.data() + first / 8;
  const std::size_t have = first % 8 + bits > 8 ? 2 : 1;
  std::uint16_t word = 0;
  std::memcpy(&word, at, have);
  return (static_cast<std::uint32_t>(word) >> (first % 8)) & ((1u << bits) - 1);
}

HWY_MAYBE_UNUSED float round_to_half(float v) { return half_to_float(float_to_half(v)); }

/// Element `i`, which lies in group `g`.
HWY_MAYBE_UNUSED float value(const View& w, std::int64_t g, std::int64_t i) {
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

/// The whole blocks of a run of a rounded palette's columns, as far as the matrix's last byte allows.
template <int kBits>
struct BlockRun {
  static constexpr std::int64_t kBytes = kBlock * kBits / 8;  ///< of a block
  static constexpr std::int64_t kReads = kBits == 4 ? kBytes : (kBlock - kVector) * kBits / 8 + bytes_read<kBits>();

  HWY_INLINE BlockRun(const View& w, std::int64_t row, std::int64_t at, std::int64_t end) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(w.m.data.data());
    from = bytes + (row * w.m.columns + at) * kBits / 8;
    const std::int64_t room = bytes + w.m.data.size() - from - kReads;
    count = room < 0 ? 0 : std::min((end - at) / kBlock, room / kBytes + 1);
  }

  const std::uint8_t* from;
  std::int64_t count;
};

/// The indices of a block's columns in the order of place_of(), vector by vector: use(first of them, indices).
template <int kBits, class Use>
HWY_INLINE void block_indices(const std::uint8_t* from, Use&& use) {
  if constexpr (kBits == 4) {
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

#else  // no shuffles: everything is done one by one

template <class Body>
bool with_step(const View&, bool, Body&&) {
  return false;
}

#endif

/// Where column `c` of a row stands in x: whole blocks of a pairing matrix have their even columns first.
HWY_MAYBE_UNUSED std::int64_t place_of(const View& w, std::int64_t c) {
  if (!w.pairs || c / kBlock * kBlock + kBlock > w.m.columns) return c;
  return c / kBlock * kBlock + c % kBlock / 2 + c % 2 * (kBlock / 2);
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

/// A whole block of x as integers of `kMost` at most; returns what one of them stands for.
template <int kMost, class T>
HWY_INLINE float round_whole_block(const float* x, bool pairs, T* out) {
  const Floats df;
  const hn::Rebind<T, Floats> di;
  auto most = hn::Zero(df);
  block_vectors(x, pairs, [&](std::int64_t, auto v) HWY_ATTR { most = hn::Max(most, hn::Abs(v)); });
  const float top = hn::GetLane(hn::MaxOfLanes(df, most));
  const auto inverse = hn::Set(df, top > 0 ? kMost / top : 0);
  block_vectors(x, pairs, [&](std::int64_t c, auto v) HWY_ATTR {
    hn::StoreU(hn::DemoteTo(di, hn::NearestInt(hn::Mul(v, inverse))), di, out + c);
  });
  return top / kMost;
}

/// Block `b` of a row of x, in the order of place_of(). out [kBlock], filled up with zeros.
template <int kMost, class T>
HWY_INLINE float round_block(const View& w, const float* x, std::int64_t b, T* out) {
  const std::int64_t begin = b * kBlock;
  if (begin + kBlock <= w.m.columns) return round_whole_block<kMost>(x + begin, w.pairs, out);
  float last[kBlock] = {};
  std::copy(x + begin, x + w.m.columns, last);
  return round_whole_block<kMost>(last, false, out);
}

}  // namespace
}  // namespace d2c::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
