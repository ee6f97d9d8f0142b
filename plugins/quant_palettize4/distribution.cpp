#include "plugins/quant_palettize4/distribution.hpp"

#include "plugins/quant_palettize4/half_order.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/quant_palettize4/distribution.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace d2c::palettize4::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

std::uint16_t max_magnitude(const std::uint16_t* values, std::size_t count) {
  const hn::ScalableTag<std::int16_t> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto mask = hn::Set(d, 0x7fff);
  auto most = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::LoadU(d, reinterpret_cast<const std::int16_t*>(values + i));
    most = hn::Max(most, hn::And(bits, mask));
  }
  HWY_ALIGN std::int16_t each[HWY_MAX_BYTES / sizeof(std::int16_t)];
  hn::Store(most, d, each);
  std::int16_t result = *std::max_element(each, each + lanes);
  for (; i < count; ++i) result = std::max(result, static_cast<std::int16_t>(values[i] & 0x7fffu));
  return static_cast<std::uint16_t>(result);
}

/// Bit i of words[w] tells whether bins[64 w + i] is non-zero.
void occupancy(const std::uint32_t* bins, std::size_t word_count, std::uint64_t* words) {
  const hn::ScalableTag<std::uint32_t> d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t w = 0; w < word_count; ++w) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < 64; i += lanes) {
      std::uint8_t mask_bits[8] = {};
      hn::StoreMaskBits(d, hn::Ne(hn::LoadU(d, bins + 64 * w + i), hn::Zero(d)), mask_bits);
      std::uint64_t mask = 0;
      std::memcpy(&mask, mask_bits, sizeof mask);
      word |= mask << i;
    }
    words[w] = word;
  }
}

}  // namespace
}  // namespace d2c::palettize4::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::palettize4 {
namespace {

HWY_EXPORT(max_magnitude);
HWY_EXPORT(occupancy);

constexpr std::size_t kHalfBins = Histogram::kBins / 2;

std::size_t population(std::span<const std::uint64_t> words) {
  return std::accumulate(words.begin(), words.end(), std::size_t{0},
                         [](std::size_t sum, std::uint64_t word) { return sum + std::popcount(word); });
}

}  // namespace

void Histogram::add(std::span<const std::uint16_t> values) {
  max_magnitude_ = std::max(max_magnitude_, HWY_DYNAMIC_DISPATCH(max_magnitude)(values.data(), values.size()));
  std::uint32_t* const bins = bins_.data();
  std::size_t i = 0;
  for (; i + 4 <= values.size(); i += 4) {
    std::uint64_t four = 0;
    std::memcpy(&four, values.data() + i, sizeof four);
    ++bins[four & 0xffffu];
    ++bins[(four >> 16) & 0xffffu];
    ++bins[(four >> 32) & 0xffffu];
    ++bins[four >> 48];
  }
  for (; i < values.size(); ++i) ++bins[values[i]];
}

bool Histogram::has_nonfinite() const noexcept { return max_magnitude_ >= kHalfInfinity; }

void Histogram::drain(Distribution& out) {
  out.bits.clear();
  out.counts.clear();
  std::uint32_t* const bins = bins_.data();
  bins[0] += std::exchange(bins[kHalfSign], 0u);

  std::array<std::uint64_t, kHalfBins / 64> negative, positive;
  const std::size_t word_count = max_magnitude_ / 64u + 1;
  HWY_DYNAMIC_DISPATCH(occupancy)(bins + kHalfBins, word_count, negative.data());
  HWY_DYNAMIC_DISPATCH(occupancy)(bins, word_count, positive.data());
  const std::size_t distinct = population({negative.data(), word_count}) + population({positive.data(), word_count});
  out.bits.resize(distinct);
  out.counts.resize(distinct);

  std::size_t next = 0;
  const auto take = [&](std::size_t bin) {
    out.bits[next] = static_cast<std::uint16_t>(bin);
    out.counts[next++] = std::exchange(bins[bin], 0u);
  };
  for (std::size_t w = word_count; w-- > 0;) {
    for (std::uint64_t word = negative[w]; word != 0;) {
      const int top = 63 - std::countl_zero(word);
      word ^= std::uint64_t{1} << top;
      take(kHalfBins + 64 * w + static_cast<std::size_t>(top));
    }
  }
  for (std::size_t w = 0; w < word_count; ++w)
    for (std::uint64_t word = positive[w]; word != 0; word &= word - 1)
      take(64 * w + static_cast<std::size_t>(std::countr_zero(word)));
  max_magnitude_ = 0;
}

void Histogram::clear() {
  std::fill(bins_.begin(), bins_.end(), 0u);
  max_magnitude_ = 0;
}

}  // namespace d2c::palettize4
#endif
