#include "libs/kernels/row_kernels.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "libs/kernels/row_kernels.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

// after highway.h
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace d2c::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
using Halves = hn::Rebind<hwy::float16_t, Floats>;
using Doubles = hn::Repartition<double, Floats>;

HWY_INLINE Vector load(const float* from) { return hn::LoadU(Floats(), from); }
HWY_INLINE Vector load(const hwy::float16_t* from) { return hn::PromoteTo(Floats(), hn::LoadU(Halves(), from)); }

float number(const float* from) { return *from; }
float number(const hwy::float16_t* from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return half_to_float(bits);
}

/// Calls body(first, how many) for the queries, several at a time: each key or value is then read once for all of them.
template <class Body>
HWY_INLINE void for_queries(std::int64_t queries, Body&& body) {
  std::int64_t i = 0;
  for (; i + 4 <= queries; i += 4) body(i, std::integral_constant<int, 4>());
  for (; i + 3 <= queries; i += 3) body(i, std::integral_constant<int, 3>());
  for (; i < queries; ++i) body(i, std::integral_constant<int, 1>());
}

/// Unused sums of a smaller kCount are optimized away.
template <int kCount>
struct Sums {
  Vector a, b, c, d;

  HWY_INLINE Sums() : a(hn::Zero(Floats())), b(a), c(a), d(a) {}

  /// Adds w times the numbers that each query has at `x`, `stride` apart.
  template <class Numbers>
  HWY_INLINE void add(Vector w, Numbers&& x) {
    a = hn::MulAdd(w, x(0), a);
    if constexpr (kCount > 1) b = hn::MulAdd(w, x(1), b);
    if constexpr (kCount > 2) c = hn::MulAdd(w, x(2), c);
    if constexpr (kCount > 3) d = hn::MulAdd(w, x(3), d);
  }
  template <class Use>
  HWY_INLINE void each(Use&& use) const {
    use(0, a);
    if constexpr (kCount > 1) use(1, b);
    if constexpr (kCount > 2) use(2, c);
    if constexpr (kCount > 3) use(3, d);
  }
};

template <int kCount, class T>
void score(const float* q, const T* keys, std::int64_t count, std::int64_t width, float* scores) {
  const Floats df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  for (std::int64_t k = 0; k < count; ++k, keys += width) {
    Sums<kCount> sums;
    std::int64_t at = 0;
    for (; at + lanes <= width; at += lanes)
      sums.add(load(keys + at), [&](int i) HWY_ATTR { return hn::LoadU(df, q + i * width + at); });
    sums.each([&](int i, Vector v) HWY_ATTR {
      float total = hn::GetLane(hn::SumOfLanes(df, v));
      for (std::int64_t c = at; c < width; ++c) total += q[i * width + c] * number(keys + c);
      scores[i * count + k] = total;
    });
  }
}

template <int kCount, class T>
void mix(const float* weights, const T* values, std::int64_t count, std::int64_t width, float* out) {
  const Floats df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  std::int64_t at = 0;
  for (; at + 2 * lanes <= width; at += 2 * lanes) {
    Sums<kCount> left, right;
    for (std::int64_t k = 0; k < count; ++k) {
      const auto weight = [&](int i) HWY_ATTR { return hn::Set(df, weights[i * count + k]); };
      left.add(load(values + k * width + at), weight);
      right.add(load(values + k * width + at + lanes), weight);
    }
    left.each([&](int i, Vector v) HWY_ATTR { hn::StoreU(v, df, out + i * width + at); });
    right.each([&](int i, Vector v) HWY_ATTR { hn::StoreU(v, df, out + i * width + at + lanes); });
  }
  for (; at < width; ++at)
    for (int i = 0; i < kCount; ++i) {
      float total = 0;
      for (std::int64_t k = 0; k < count; ++k) total += weights[i * count + k] * number(values + k * width + at);
      out[i * width + at] = total;
    }
}

/// Calls body(rows as what they are).
template <class Body>
HWY_INLINE void with_numbers(const HeadRows& rows, Body&& body) {
  if (rows.halves) body(static_cast<const hwy::float16_t*>(rows.data));
  else body(static_cast<const float*>(rows.data));
}

void score_all(const float* q, std::int64_t queries, const HeadRows& keys, float* scores) {
  with_numbers(keys, [&](const auto* rows) HWY_ATTR {
    for_queries(queries, [&]<int kCount>(std::int64_t i, std::integral_constant<int, kCount>) HWY_ATTR {
      score<kCount>(q + i * keys.width, rows, keys.count, keys.width, scores + i * keys.count);
    });
  });
}

void mix_all(const float* weights, std::int64_t queries, const HeadRows& values, float* out) {
  with_numbers(values, [&](const auto* rows) HWY_ATTR {
    for_queries(queries, [&]<int kCount>(std::int64_t i, std::integral_constant<int, kCount>) HWY_ATTR {
      mix<kCount>(weights + i * values.count, rows, values.count, values.width, out + i * values.width);
    });
  });
}

/// Calls body(at, how many, vector) for all numbers; the last vector is filled up with `fill`.
template <class Body>
HWY_INLINE void for_vectors(const float* from, std::int64_t count, float fill, Body&& body) {
  const Floats df;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  std::int64_t at = 0;
  for (; at + lanes <= count; at += lanes) body(at, lanes, load(from + at));
  if (at == count) return;
  HWY_ALIGN float last[hn::MaxLanes(df)];
  std::fill_n(last, lanes, fill);
  std::copy(from + at, from + count, last);
  body(at, count - at, hn::Load(df, last));
}

HWY_INLINE void store(Vector v, std::int64_t count, float* to) {
  const Floats df;
  if (count == static_cast<std::int64_t>(hn::Lanes(df))) return hn::StoreU(v, df, to);
  HWY_ALIGN float last[hn::MaxLanes(df)];
  hn::Store(v, df, last);
  std::copy(last, last + count, to);
}

void soften(const float* from, float scale, const float* bias, std::int64_t count, float* to) {
  const Floats df;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const auto factor = hn::Set(df, scale);
  for_vectors(from, count, 0, [&](std::int64_t at, std::int64_t n, Vector v) HWY_ATTR {
    v = hn::Mul(v, factor);
    if (bias != nullptr)
      for_vectors(bias + at, n, 0, [&](std::int64_t, std::int64_t, Vector b) HWY_ATTR { v = hn::Add(v, b); });
    store(v, n, to + at);
  });
  auto most = hn::Set(df, kLowest);
  for_vectors(to, count, kLowest, [&](std::int64_t, std::int64_t, Vector v) HWY_ATTR { most = hn::Max(most, v); });
  const auto top = hn::MaxOfLanes(df, most);
  auto total = hn::Zero(df);
  for_vectors(to, count, kLowest, [&](std::int64_t at, std::int64_t n, Vector v) HWY_ATTR {
    v = hn::Exp(df, hn::Sub(v, top));
    total = hn::Add(total, v);
    store(v, n, to + at);
  });
  const auto share = hn::Div(hn::Set(df, 1), hn::SumOfLanes(df, total));
  for_vectors(to, count, 0,
              [&](std::int64_t at, std::int64_t n, Vector v) HWY_ATTR { store(hn::Mul(v, share), n, to + at); });
}

void silu_all(const float* from, std::int64_t count, float* to) {
  const Floats df;
  const auto one = hn::Set(df, 1), most = hn::Set(df, 88);  // e^88 is about the largest float
  for_vectors(from, count, 0, [&](std::int64_t at, std::int64_t n, Vector v) HWY_ATTR {
    store(hn::Div(v, hn::Add(one, hn::Exp(df, hn::Min(hn::Neg(v), most)))), n, to + at);
  });
}

/// The sum of map(x), x in double.
template <class Map>
HWY_INLINE double sum_mapped(const float* from, std::int64_t count, Map&& map) {
  const Doubles dd;
  double total = 0;
  std::int64_t at = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::Rebind<float, Doubles> few;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(dd));
  auto a = hn::Zero(dd), b = a, c = a, d = a;
  for (; at + 4 * lanes <= count; at += 4 * lanes) {
    const auto wide = [&](int k) HWY_ATTR { return hn::PromoteTo(dd, hn::LoadU(few, from + at + k * lanes)); };
    a = hn::Add(a, map(wide(0)));
    b = hn::Add(b, map(wide(1)));
    c = hn::Add(c, map(wide(2)));
    d = hn::Add(d, map(wide(3)));
  }
  total = hn::GetLane(hn::SumOfLanes(dd, hn::Add(hn::Add(a, b), hn::Add(c, d))));
#endif
  for (; at < count; ++at) total += hn::GetLane(map(hn::Set(dd, static_cast<double>(from[at]))));
  return total;
}

double sum_all(const float* from, std::int64_t count) {
  return sum_mapped(from, count, [](auto v) HWY_ATTR { return v; });
}
double sum_all_squares(const float* from, std::int64_t count) {
  return sum_mapped(from, count, [](auto v) HWY_ATTR { return hn::Mul(v, v); });
}

}  // namespace
}  // namespace d2c::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::kernels {
namespace {

HWY_EXPORT(score_all);
HWY_EXPORT(mix_all);
HWY_EXPORT(soften);
HWY_EXPORT(silu_all);
HWY_EXPORT(sum_all);
HWY_EXPORT(sum_all_squares);

}  // namespace

void score_keys(const float* q, std::int64_t queries, const HeadRows& keys, float* scores) {
  HWY_DYNAMIC_DISPATCH(score_all)(q, queries, keys, scores);
}

void mix_values(const float* weights, std::int64_t queries, const HeadRows& values, float* out) {
  HWY_DYNAMIC_DISPATCH(mix_all)(weights, queries, values, out);
}

void softmax(const float* from, float scale, const float* bias, std::int64_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(soften)(from, scale, bias, count, to);
}

void silu(const float* from, std::int64_t count, float* to) { HWY_DYNAMIC_DISPATCH(silu_all)(from, count, to); }

double sum(const float* from, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(sum_all)(from, count); }

double sum_of_squares(const float* from, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(sum_all_squares)(from, count);
}

}  // namespace d2c::kernels
#endif
