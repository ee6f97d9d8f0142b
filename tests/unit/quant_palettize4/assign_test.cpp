#include "plugins/quant_palettize4/assign.hpp"

#include <d2c/half.hpp>

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

namespace d2c::palettize4 {
namespace {

std::vector<std::uint16_t> every_finite_half() {
  std::vector<std::uint16_t> out;
  for (unsigned h = 0; h < 65536; ++h)
    if ((h & 0x7c00u) != 0x7c00u) out.push_back(static_cast<std::uint16_t>(h));
  return out;
}

std::uint8_t nearest_by_search(std::uint16_t value, const std::vector<std::uint16_t>& entries) {
  const auto distance = [value](std::uint16_t e) {
    return std::abs(static_cast<double>(half_to_float(value)) - half_to_float(e));
  };
  std::size_t best = 0;
  for (std::size_t e = 1; e < entries.size(); ++e)
    if (distance(entries[e]) < distance(entries[best])) best = e;
  return static_cast<std::uint8_t>(best);
}

/// Distinct entries in ascending order; where rounding made some equal, the last one fills up.
std::vector<std::uint16_t> palette(std::size_t size, double spread, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, spread);
  std::set<float> values;
  for (std::size_t i = 0; i < size; ++i)
    values.insert(half_to_float(float_to_half(static_cast<float>(std::clamp(normal(random), -65504., 65504.)))));
  std::vector<std::uint16_t> out;
  for (const float v : values) out.push_back(v == 0 ? std::uint16_t{0} : float_to_half(v));
  out.resize(size, out.back());
  return out;
}

TEST(Assigner, PicksTheNearestEntryForEveryHalfOnEveryTarget) {
  const auto values = every_finite_half();
  for (const std::size_t size : {2u, 4u, 8u, 16u, 64u, 256u}) {
    for (const double spread : {1e-6, 0.02, 3e4}) {
      const auto entries = palette(size, spread, 3);
      std::vector<std::uint8_t> expected;
      for (const std::uint16_t v : values) expected.push_back(nearest_by_search(v, entries));
      Assigner assigner;
      assigner.set_palette(entries);
      for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        std::vector<std::uint8_t> indices(values.size());
        assigner.assign(values, indices.data());
        EXPECT_EQ(indices, expected) << size << " entries, spread " << spread << ", " << hwy::TargetName(target);
      }
      hwy::SetSupportedTargetsForTest(0);
    }
  }
}

TEST(Assigner, GivesTiesAndRepeatedEntriesTheLowerIndex) {
  const std::vector<std::uint16_t> entries{float_to_half(-1.f), float_to_half(0.f), float_to_half(1.f),
                                           float_to_half(1.f)};
  const std::vector<std::uint16_t> values{float_to_half(-0.5f), float_to_half(0.5f), float_to_half(9.f), 0x8000u, 0};
  Assigner assigner;
  assigner.set_palette(entries);
  std::vector<std::uint8_t> indices(values.size());
  assigner.assign(values, indices.data());
  EXPECT_EQ(indices, (std::vector<std::uint8_t>{0, 1, 2, 1, 1}));
}

TEST(Assigner, TreatsNegativeZeroAsZeroNextToTheSmallestHalf) {
  for (const auto& entries :
       {std::vector<std::uint16_t>{0x8001u, 0x0000u}, std::vector<std::uint16_t>{0x0000u, 0x0001u}}) {
    Assigner assigner;
    assigner.set_palette(entries);
    const std::vector<std::uint16_t> zeros{0x8000u, 0x0000u};
    std::vector<std::uint8_t> indices(2);
    assigner.assign(zeros, indices.data());
    EXPECT_EQ(entries[indices[0]], 0);
    EXPECT_EQ(entries[indices[1]], 0);
  }
}

}  // namespace
}  // namespace d2c::palettize4
