#include "plugins/quant_linear/block_fit.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/quant_linear/block_fit.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#ifndef D2C_LINEAR_CANDIDATES
#define D2C_LINEAR_CANDIDATES
namespace d2c::linear {

inline constexpr std::size_t kCandidates = 24;

/// Ways to store one block, and the sums over its weights that judge them.
struct Candidates {
  using Numbers = std::array<float, kCandidates>;

  alignas(64) Numbers scale, inverse, offset;
  alignas(64) Numbers steps, squares, products;  // steps = level - offset; products with the weights
  alignas(64) Numbers error;
};

}  // namespace d2c::linear
#endif

HWY_BEFORE_NAMESPACE();
namespace d2c::linear::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D, class V>
V level_of(D d, V weight, V inverse, V offset, V last) {
  return hn::Min(hn::Max(hn::Round(hn::Add(hn::Mul(weight, inverse), offset)), hn::Zero(d)), last);
}

void find_extremes(const float* block, std::size_t count, float* low, float* high) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto lowest = hn::Zero(d), highest = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto w = hn::LoadU(d, block + i);
    lowest = hn::Min(lowest, w);
    highest = hn::Max(highest, w);
  }
  *low = hn::GetLane(hn::MinOfLanes(d, lowest));
  *high = hn::GetLane(hn::MaxOfLanes(d, highest));
  for (; i < count; ++i) {
    *low = std::min(*low, block[i]);
    *high = std::max(*high, block[i]);
  }
}

// A lane is a candidate, so that every sum runs over the weights in their order whatever the vectors' width. Three
// vectors side by side keep the adders busy, each of which waits for its last sum.

template <class D>
struct Trial {
  using V = hn::Vec<D>;

  Trial(D d, const Candidates& c, std::size_t k)
      : inverse(hn::Load(d, c.inverse.data() + k)),
        offset(hn::Load(d, c.offset.data() + k)),
        scale(hn::Load(d, c.scale.data() + k)) {}

  V step_of(D d, V weight, V last) const { return hn::Sub(level_of(d, weight, inverse, offset, last), offset); }

  void add_step(D d, V weight, V last) {
    const V step = step_of(d, weight, last);
    steps = hn::Add(steps, step);
    squares = hn::Add(squares, hn::Mul(step, step));
    products = hn::Add(products, hn::Mul(step, weight));
  }
  void add_error(D d, V weight, V last) {
    const V difference = hn::Sub(weight, hn::Mul(scale, step_of(d, weight, last)));
    error = hn::Add(error, hn::Mul(difference, difference));
  }

  V inverse, offset, scale;
  V steps = hn::Zero(D()), squares = hn::Zero(D()), products = hn::Zero(D()), error = hn::Zero(D());
};

/// Every candidate's trial adds all weights: add(trial, weight), then store(trial, first of the candidates).
template <class D, class Add, class Store>
HWY_INLINE void try_candidates(D d, const float* block, std::size_t count, const Candidates& c, Add add, Store store) {
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t k = 0; k < kCandidates; k += 3 * lanes) {
    Trial<D> first(d, c, k), second(d, c, k + lanes), third(d, c, k + 2 * lanes);
    for (std::size_t i = 0; i < count; ++i) {
      const auto weight = hn::Set(d, block[i]);
      add(first, weight);
      add(second, weight);
      add(third, weight);
    }
    store(first, k);
    store(second, k + lanes);
    store(third, k + 2 * lanes);
  }
}

using Lanes = hn::CappedTag<float, 8>;

void sum_steps(const float* block, std::size_t count, float last_level, Candidates& c) {
  const Lanes d;
  const auto last = hn::Set(d, last_level);
  const auto add = [&](Trial<Lanes>& t, auto weight) HWY_ATTR { t.add_step(d, weight, last); };
  try_candidates(d, block, count, c, add, [&](const Trial<Lanes>& t, std::size_t k) HWY_ATTR {
    hn::Store(t.steps, d, c.steps.data() + k);
    hn::Store(t.squares, d, c.squares.data() + k);
    hn::Store(t.products, d, c.products.data() + k);
  });
}

void sum_errors(const float* block, std::size_t count, float last_level, Candidates& c) {
  const Lanes d;
  const auto last = hn::Set(d, last_level);
  const auto add = [&](Trial<Lanes>& t, auto weight) HWY_ATTR { t.add_error(d, weight, last); };
  try_candidates(d, block, count, c, add,
                 [&](const Trial<Lanes>& t, std::size_t k) HWY_ATTR { hn::Store(t.error, d, c.error.data() + k); });
}

void quantize(const float* block, std::size_t count, float scale, float offset, float last, std::uint8_t* levels,
              float* restored) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::int32_t, decltype(d)> d32;
  const hn::Rebind<std::uint8_t, decltype(d)> d8;
  const std::size_t lanes = hn::Lanes(d);
  const float inverse = 1 / scale;
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto level = level_of(d, hn::LoadU(d, block + i), hn::Set(d, inverse), hn::Set(d, offset), hn::Set(d, last));
    hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(d32, level)), d8, levels + i);
    hn::StoreU(hn::Mul(hn::Set(d, scale), hn::Sub(level, hn::Set(d, offset))), d, restored + i);
  }
  const hn::CappedTag<float, 1> one;
  for (; i < count; ++i) {
    const float level = hn::GetLane(
        level_of(one, hn::Set(one, block[i]), hn::Set(one, inverse), hn::Set(one, offset), hn::Set(one, last)));
    levels[i] = static_cast<std::uint8_t>(level);
    restored[i] = scale * (level - offset);
  }
}

}  // namespace
}  // namespace d2c::linear::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::linear {
namespace {

HWY_EXPORT(find_extremes);
HWY_EXPORT(sum_steps);
HWY_EXPORT(sum_errors);
HWY_EXPORT(quantize);

constexpr std::uint16_t kLeastHalf = 1;
constexpr float kLargestHalf = 65504;

struct Range {
  float low, high;  // never above, never below zero
};

Range range_of(std::span<const float> block) {
  Range r{};
  HWY_DYNAMIC_DISPATCH(find_extremes)(block.data(), block.size(), &r.low, &r.high);
  return r;
}

/// The nearest fp16 scale that is not zero and leaves every level finite.
std::uint16_t round_scale(float scale, float offset, const Grid& grid) noexcept {
  const float steps = std::max(offset, grid.last() - offset);
  std::uint16_t half = std::max(kLeastHalf, float_to_half(std::min(scale, kLargestHalf / steps)));
  if (half_to_float(half) * steps > kLargestHalf) --half;
  return half;
}

float to_half_precision(float value) noexcept { return half_to_float(float_to_half(value)); }

/// A block of zeros: any scale does.
Fit fit_of_zeros(const Grid& grid) noexcept {
  return {float_to_half(1), grid.offset == OffsetKind::none ? grid.middle() : 0};
}

/// The ranges that a block is tried with, as shares of its own; the first one is whole.
struct Narrowing {
  constexpr Narrowing() {
    // From a little wider than the range, which then ends between two levels, to as narrow as leaves the outermost
    // weight of an int4 block more than two steps beyond the last level.
    for (std::size_t k = 0; k < kCandidates; ++k) symmetric[k] = k == 0 ? 1 : 0.92f + 0.02f * static_cast<float>(k);
    constexpr std::size_t kTrims = 5;
    const auto trim = [](std::size_t step) { return 1 - 0.04f * static_cast<float>(step); };
    for (std::size_t k = 0; k < kCandidates; ++k) {
      low[k] = trim(k % kTrims);
      high[k] = trim(k / kTrims);
    }
  }

  Candidates::Numbers symmetric{};  // of the whole range, divided by that of the candidate
  Candidates::Numbers low{}, high{};
};

/// One step for every narrowed range; fp16 offsets are not rounded yet.
void start(const Grid& grid, const Range& whole, Candidates& c) noexcept {
  static constexpr Narrowing kNarrowing;
  if (grid.offset == OffsetKind::none) {
    const float steps = (grid.middle() - 1) / std::max(-whole.low, whole.high);
    for (std::size_t k = 0; k < kCandidates; ++k) c.inverse[k] = steps * kNarrowing.symmetric[k];
    for (std::size_t k = 0; k < kCandidates; ++k) c.scale[k] = 1 / c.inverse[k];
    c.offset.fill(grid.middle());
    return;
  }
  const float last = grid.last();
  for (std::size_t k = 0; k < kCandidates; ++k) {
    const float low = whole.low * kNarrowing.low[k], high = whole.high * kNarrowing.high[k];
    c.scale[k] = (high - low) / last;
    c.inverse[k] = last / (high - low);
    c.offset[k] = std::min(-low * c.inverse[k], last);
  }
  if (grid.offset == OffsetKind::integer)
    for (float& offset : c.offset) offset = std::nearbyint(offset);
}

/// The scales, and fp16 offsets, of the least squares for the levels that every candidate gives.
void refine(const Grid& grid, double sum, double count, Candidates& c) noexcept {
  for (std::size_t k = 0; k < kCandidates; ++k) {
    const double steps = c.steps[k], squares = c.squares[k], products = c.products[k];
    if (grid.offset != OffsetKind::fp16) {
      if (products > 0 && squares > 0) c.scale[k] = static_cast<float>(products / squares);
      continue;
    }
    const double spread = count * squares - steps * steps, covariance = count * products - steps * sum;
    const double scale = spread > 0 && covariance > 0 ? covariance / spread : c.scale[k];
    const double offset = c.offset[k] - (sum - scale * steps) / (count * scale);
    c.scale[k] = static_cast<float>(scale);
    c.offset[k] = static_cast<float>(std::clamp<double>(offset, 0, grid.last()));
  }
}

/// To what can be stored.
void round_to_half(const Grid& grid, std::size_t candidates, Candidates& c) noexcept {
  for (std::size_t k = 0; k < candidates; ++k) {
    if (grid.offset == OffsetKind::fp16) c.offset[k] = to_half_precision(c.offset[k]);
    c.scale[k] = half_to_float(round_scale(c.scale[k], c.offset[k], grid));
  }
}

/// Leaves the whole range as the first candidate.
Fit fit_whole(const Grid& grid, Candidates& c) noexcept {
  round_to_half(grid, 1, c);
  return {float_to_half(c.scale[0]), c.offset[0]};
}

}  // namespace

Fit fit_range(const Grid& grid, std::span<const float> block) {
  const Range whole = range_of(block);
  if (whole.low == whole.high) return fit_of_zeros(grid);
  Candidates c;
  start(grid, whole, c);
  return fit_whole(grid, c);
}

Fit fit_least_squares(const Grid& grid, std::span<const float> block) {
  const Range whole = range_of(block);
  if (whole.low == whole.high) return fit_of_zeros(grid);
  Candidates c;
  start(grid, whole, c);
  const Fit range = fit_whole(grid, c);
  HWY_DYNAMIC_DISPATCH(sum_steps)(block.data(), block.size(), grid.last(), c);

  double sum = 0;
  for (const float w : block) sum += w;
  refine(grid, sum, static_cast<double>(block.size()), c);
  round_to_half(grid, kCandidates, c);
  c.scale[0] = half_to_float(range.scale);
  c.offset[0] = range.offset;
  for (std::size_t k = 0; k < kCandidates; ++k) c.inverse[k] = 1 / c.scale[k];
  HWY_DYNAMIC_DISPATCH(sum_errors)(block.data(), block.size(), grid.last(), c);
  const auto best = static_cast<std::size_t>(std::min_element(c.error.begin(), c.error.end()) - c.error.begin());
  return {float_to_half(c.scale[best]), c.offset[best]};
}

void quantize_block(const Grid& grid, const Fit& fit, std::span<const float> block, std::uint8_t* levels,
                    float* restored) {
  HWY_DYNAMIC_DISPATCH(quantize)
  (block.data(), block.size(), half_to_float(fit.scale), fit.offset, grid.last(), levels, restored);
}

}  // namespace d2c::linear
#endif
