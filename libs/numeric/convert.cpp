#include "libs/numeric/convert.hpp"

#include <d2c/error.hpp>
#include <d2c/half.hpp>

#include <bit>
#include <cstring>
#include <string>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "libs/numeric/convert.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

// Only integer operations and exact or correctly rounded fp32 ones, so that every target gives the same bits: the
// hardware's fp16 conversions differ in what they do to signalling NaNs.
HWY_BEFORE_NAMESPACE();
namespace d2c::numeric::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Words = hn::ScalableTag<std::uint32_t>;
using Halves = hn::Rebind<std::uint16_t, Words>;
using Word = hn::Vec<Words>;

constexpr std::uint32_t kInfinity = 0x7f800000u;
constexpr std::uint32_t kHalfOverflow = 0x477ff000u;  // 65520, the least magnitude that rounds to infinity
constexpr std::uint32_t kHalfNormal = 0x38800000u;    // 2^-14

// Highway 1.0.3 compares unsigned lanes on every target by way of signed ones; magnitudes below 2^31 need no detour.
hn::Mask<Words> below(Words d, Word a, std::uint32_t bound) {
  const hn::RebindToSigned<Words> di;
  return hn::MaskFromVec(
      hn::BitCast(d, hn::VecFromMask(di, hn::Lt(hn::BitCast(di, a), hn::Set(di, static_cast<std::int32_t>(bound))))));
}

Word widen_half(Words d, Word half) {
  const hn::RebindToFloat<Words> df;
  const hn::RebindToSigned<Words> di;
  const Word sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(d, 0x8000u)));
  const Word magnitude = hn::And(half, hn::Set(d, 0x7fffu));
  const Word shifted = hn::ShiftLeft<13>(magnitude);
  const Word normal = hn::Add(shifted, hn::Set(d, 112u << 23));
  const Word special = hn::Or(shifted, hn::Set(d, kInfinity));
  const Word subnormal = hn::BitCast(d, hn::Mul(hn::ConvertTo(df, hn::BitCast(di, magnitude)), hn::Set(df, 0x1p-24f)));
  const Word finite = hn::IfThenElse(below(d, magnitude, 0x400u), subnormal, normal);
  return hn::Or(sign, hn::IfThenElse(below(d, magnitude, 0x7c00u), finite, special));
}

void half_to_float(const std::uint16_t* in, std::size_t count, float* out) {
  const Words d;
  const Halves dh;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const Word wide = widen_half(d, hn::PromoteTo(d, hn::LoadU(dh, in + i)));
    hn::StoreU(hn::BitCast(hn::RebindToFloat<Words>(), wide), hn::RebindToFloat<Words>(), out + i);
  }
  for (; i < count; ++i) out[i] = d2c::half_to_float(in[i]);
}

void bf16_to_float(const std::uint16_t* in, std::size_t count, float* out) {
  const Words d;
  const Halves dh;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const Word wide = hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(dh, in + i)));
    hn::StoreU(hn::BitCast(hn::RebindToFloat<Words>(), wide), hn::RebindToFloat<Words>(), out + i);
  }
  for (; i < count; ++i) out[i] = d2c::bf16_to_float(in[i]);
}

struct Rounded {
  Word half;         // the fp16 bits without the sign
  Word magnitude;    // of the input
  bool all_regular;  // every lane became a normal number, the usual case
};

HWY_INLINE Rounded round_to_half(Words d, Word magnitude) {
  const hn::RebindToFloat<Words> df;
  const Word odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(d, 1u));
  const Word biased = hn::Add(hn::Add(magnitude, odd), hn::Set(d, 0xfffu - 0x38000000u));
  Rounded r{hn::ShiftRight<13>(biased), magnitude, true};
  const auto small = below(d, magnitude, kHalfNormal);
  const auto finite = below(d, magnitude, kHalfOverflow);
  if (HWY_LIKELY(hn::AllFalse(d, small) && hn::AllTrue(d, finite))) return r;

  r.all_regular = false;
  const Word half_float = hn::BitCast(d, hn::Set(df, 0.5f));
  const Word subnormal = hn::Sub(hn::BitCast(d, hn::Add(hn::BitCast(df, magnitude), hn::Set(df, 0.5f))), half_float);
  const Word nan = hn::Or(hn::Set(d, 0x7e00u), hn::And(hn::ShiftRight<13>(magnitude), hn::Set(d, 0x3ffu)));
  const Word special = hn::IfThenElse(below(d, magnitude, kInfinity + 1), hn::Set(d, 0x7c00u), nan);
  r.half = hn::IfThenElse(finite, hn::IfThenElse(small, subnormal, r.half), special);
  return r;
}

void count_irregular(Words d, const Rounded& r, RoundingStats& stats) {
  const auto finite_in = below(d, r.magnitude, kInfinity);
  const auto finite_out = below(d, r.half, 0x7c00u);
  const auto zero_in = below(d, r.magnitude, 1u);
  const auto zero_out = below(d, r.half, 1u);
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t nonfinite = lanes - hn::CountTrue(d, finite_in);
  const std::size_t zeros = hn::CountTrue(d, zero_out);
  stats.nonfinite += nonfinite;
  stats.overflowed += lanes - hn::CountTrue(d, finite_out) - nonfinite;
  stats.underflowed += zeros - hn::CountTrue(d, zero_in);
  stats.subnormal += hn::CountTrue(d, below(d, r.half, 0x400u)) - zeros;
}

void count_one(float in, std::uint16_t out, RoundingStats& stats) {
  const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(in) & 0x7fffffffu;
  const unsigned half = out & 0x7fffu;
  if (magnitude >= kInfinity) ++stats.nonfinite;
  else if (half == 0x7c00u) ++stats.overflowed;
  else if (half == 0 && magnitude != 0) ++stats.underflowed;
  else if (half != 0 && half < 0x400u) ++stats.subnormal;
}

template <class LoadWords, class LoadOne>
HWY_INLINE RoundingStats round_all(LoadWords load, LoadOne load_one, std::size_t count, std::uint16_t* out) {
  const Words d;
  const Halves dh;
  RoundingStats stats;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const Word bits = load(d, i);
    const Rounded r = round_to_half(d, hn::And(bits, hn::Set(d, 0x7fffffffu)));
    if (HWY_UNLIKELY(!r.all_regular)) count_irregular(d, r, stats);
    const Word sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 0x8000u));
    hn::StoreU(hn::TruncateTo(dh, hn::Or(sign, r.half)), dh, out + i);
  }
  for (; i < count; ++i) {
    const float value = load_one(i);
    out[i] = d2c::float_to_half(value);
    count_one(value, out[i], stats);
  }
  return stats;
}

RoundingStats float_to_half(const float* in, std::size_t count, std::uint16_t* out) {
  return round_all(
      [in](Words d, std::size_t i) { return hn::BitCast(d, hn::LoadU(hn::RebindToFloat<Words>(), in + i)); },
      [in](std::size_t i) { return in[i]; }, count, out);
}

RoundingStats bf16_to_half(const std::uint16_t* in, std::size_t count, std::uint16_t* out) {
  return round_all(
      [in](Words d, std::size_t i) { return hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(Halves(), in + i))); },
      [in](std::size_t i) { return d2c::bf16_to_float(in[i]); }, count, out);
}

}  // namespace
}  // namespace d2c::numeric::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::numeric {
namespace {

HWY_EXPORT(half_to_float);
HWY_EXPORT(bf16_to_float);
HWY_EXPORT(float_to_half);
HWY_EXPORT(bf16_to_half);

}  // namespace

void to_float(DType from, const void* in, std::size_t count, float* out) {
  switch (from) {
    case DType::f16: return HWY_DYNAMIC_DISPATCH(half_to_float)(static_cast<const std::uint16_t*>(in), count, out);
    case DType::bf16: return HWY_DYNAMIC_DISPATCH(bf16_to_float)(static_cast<const std::uint16_t*>(in), count, out);
    case DType::f32:
      if (count != 0) std::memcpy(out, in, count * sizeof(float));
      return;
    default: fail_input("cannot widen " + std::string(name_of(from)) + " to fp32; weights are fp16, bf16 or fp32");
  }
}

RoundingStats float_to_half(const float* in, std::size_t count, std::uint16_t* out) {
  return HWY_DYNAMIC_DISPATCH(float_to_half)(in, count, out);
}

RoundingStats bf16_to_half(const std::uint16_t* in, std::size_t count, std::uint16_t* out) {
  return HWY_DYNAMIC_DISPATCH(bf16_to_half)(in, count, out);
}

}  // namespace d2c::numeric
#endif
