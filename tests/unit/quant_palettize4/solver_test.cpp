#include "plugins/quant_palettize4/solver.hpp"

#include <d2c/half.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <vector>

namespace d2c::palettize4 {
namespace {

Distribution distribution_of(const std::vector<float>& values) {
  std::vector<std::uint16_t> bits;
  for (const float v : values) bits.push_back(float_to_half(v));
  Histogram histogram;
  histogram.add(bits);
  Distribution out;
  histogram.drain(out);
  return out;
}

std::vector<float> draw(std::size_t count, unsigned seed, const std::function<float(std::mt19937&)>& one) {
  std::mt19937 random(seed);
  std::vector<float> out(count);
  for (float& v : out) v = half_to_float(float_to_half(one(random)));
  return out;
}

float gaussian(std::mt19937& random) { return std::normal_distribution<float>(0, 0.02f)(random); }

double nearest_error(const std::vector<float>& values, std::span<const std::uint16_t> entries) {
  double error = 0;
  for (const double v : values) {
    double best = std::numeric_limits<double>::infinity();
    for (const std::uint16_t e : entries) best = std::min(best, std::abs(v - half_to_float(e)));
    error += best * best;
  }
  return error;
}

/// The least error around real-valued means over all partitions of the distinct values into runs, by the quadratic
/// recurrence. Sums are taken afresh for every run, without the cancellation of prefix sums.
double best_partition(const Distribution& d, std::size_t runs) {
  const std::size_t n = d.size();
  std::vector<double> best(n + 1, std::numeric_limits<double>::infinity());
  best[0] = 0;
  for (std::size_t k = 0; k < runs; ++k) {
    std::vector<double> next = best;
    for (std::size_t from = 0; from < n; ++from) {
      double weight = 0, mean = 0, error = 0;
      for (std::size_t i = from; i < n; ++i) {
        const double count = d.counts[i], step = half_to_float(d.bits[i]) - mean;
        weight += count;
        mean += step * count / weight;
        error += count * step * (half_to_float(d.bits[i]) - mean);
        next[i + 1] = std::min(next[i + 1], best[from] + error);
      }
    }
    best = next;
  }
  return best[n];
}

/// What rounding the means to fp16 can add, given the largest magnitude that a mean can have.
double rounding_error(const std::vector<float>& values) {
  double largest = 0;
  for (const float v : values) largest = std::max(largest, std::abs(static_cast<double>(v)));
  const double half_unit = std::max(largest * 0x1p-11, 0x1p-25);
  return static_cast<double>(values.size()) * half_unit * half_unit;
}

using Draw = std::function<float(std::mt19937&)>;

/// Groups of every nature: smooth, heavy-tailed, clustered, on a grid, of a few values, with an outlier, subnormal.
const std::vector<Draw>& natures() {
  static const std::vector<Draw> all{
      gaussian,
      [](std::mt19937& r) { return std::cauchy_distribution<float>(0, 0.01f)(r); },
      [](std::mt19937& r) { return (r() % 2 ? 0.1f : -0.3f) + 0.01f * std::normal_distribution<float>()(r); },
      [](std::mt19937& r) { return static_cast<float>(r() % 29) - 14.f; },
      [](std::mt19937& r) { return static_cast<float>(r() % 5) / 4.f; },
      [](std::mt19937& r) { return r() % 50 == 0 ? 30000.f : gaussian(r); },
      [](std::mt19937& r) { return r() % 50 == 0 ? -8.f : 1.f; },
      [](std::mt19937& r) { return 1.f + 0.002f * std::normal_distribution<float>()(r); },
      [](std::mt19937& r) { return 1e-6f * std::normal_distribution<float>()(r); },
      [](std::mt19937& r) { return std::exp(2.f * std::normal_distribution<float>()(r)); },
  };
  return all;
}

TEST(Histogram, ListsValuesInOrderWithNegativeZeroAsZero) {
  const Distribution d = distribution_of({1.f, -0.f, 0.f, -2.f, 1.f, -1.f, 65504.f, -65504.f});
  std::vector<float> values;
  for (const std::uint16_t b : d.bits) values.push_back(half_to_float(b));
  EXPECT_EQ(values, (std::vector<float>{-65504.f, -2.f, -1.f, 0.f, 1.f, 65504.f}));
  EXPECT_EQ(d.bits[3], 0);
  EXPECT_EQ(d.counts, (std::vector<std::uint32_t>{1, 1, 1, 2, 2, 1}));
}

TEST(Histogram, IsEmptyAfterDraining) {
  Histogram histogram;
  Distribution d;
  const std::vector<std::uint16_t> first{0x3c00, 0xbc00, 0x8000}, second{0x0001};
  histogram.add(first);
  histogram.drain(d);
  histogram.add(second);
  histogram.drain(d);
  EXPECT_EQ(d.bits, second);
  EXPECT_EQ(d.counts, std::vector<std::uint32_t>{1});
}

TEST(Histogram, NoticesInfinitiesAndNan) {
  for (const std::uint16_t bits : std::vector<std::uint16_t>{0x7c00, 0xfc00, 0x7e01, 0xffff}) {
    Histogram histogram;
    const std::vector<std::uint16_t> values(100, bits);
    EXPECT_FALSE(histogram.has_nonfinite());
    histogram.add(values);
    EXPECT_TRUE(histogram.has_nonfinite());
    histogram.clear();
    EXPECT_FALSE(histogram.has_nonfinite());
  }
}

TEST(Solver, KeepsExactValuesWhenThereAreNoMoreThanEntries) {
  for (const std::size_t distinct : {1u, 2u, 15u, 16u}) {
    std::vector<float> values;
    for (std::size_t i = 0; i < distinct * 3; ++i) values.push_back(static_cast<float>(i % distinct) - 3.f);
    const Palette p = Solver().solve(distribution_of(values), 16);
    EXPECT_EQ(p.squared_error, 0);
    EXPECT_EQ(p.max_error, 0);
    EXPECT_TRUE(p.certified);
    for (std::size_t e = 0; e < 16; ++e)
      EXPECT_EQ(half_to_float(p.entries[e]), static_cast<float>(std::min(e, distinct - 1)) - 3.f);
  }
}

TEST(Solver, ReachesTheBestOfAllPartitionsWhateverTheGroupIsLike) {
  Solver solver;
  for (const Draw& nature : natures()) {
    for (unsigned seed = 0; seed < 12; ++seed) {
      const auto values = draw(3 + seed * seed * 2, seed, nature);
      const Distribution d = distribution_of(values);
      for (const std::size_t size : {2u, 4u, 8u, 16u, 64u}) {
        const Palette p = solver.solve(d, size);
        const double best = best_partition(d, size);
        EXPECT_LE(p.squared_error, best * (1 + 1e-9) + rounding_error(values)) << d.size() << " values, " << size;
        EXPECT_GE(p.squared_error, best * (1 - 1e-9)) << d.size() << " values, " << size;
        EXPECT_TRUE(p.certified);
        EXPECT_EQ(p.excess, 0);
      }
    }
  }
}

TEST(Solver, ReachesTheBestPartitionOfAGroupWithManyValues) {
  for (const Draw& nature : {natures()[0], natures()[1], natures()[9]}) {
    const auto values = draw(2000, 9, nature);
    const Distribution d = distribution_of(values);
    ASSERT_GT(d.size(), 900u);
    for (const std::size_t size : {4u, 16u}) {
      const double best = best_partition(d, size);
      EXPECT_LE(Solver().solve(d, size).squared_error, best * (1 + 1e-9) + rounding_error(values));
    }
  }
}

TEST(Solver, GivesUpNoMoreThanItIsAllowedAndSaysHowMuch) {
  std::size_t thinned = 0;
  for (const Draw& nature : natures()) {
    const auto values = draw(60000, 31, nature);
    const Distribution d = distribution_of(values);
    for (const std::size_t size : {2u, 4u, 16u, 64u}) {
      const Palette exact = Solver().solve(d, size), fast = Solver().solve(d, size, 1e-4);
      EXPECT_LE(fast.excess, 1e-4 * fast.squared_error);
      EXPECT_LE(fast.squared_error, exact.squared_error + fast.excess + rounding_error(values));
      EXPECT_EQ(fast.certified, fast.excess == 0);
      thinned += !fast.certified;
    }
  }
  EXPECT_GT(thinned, 0u) << "nothing was given up anywhere, so nothing was tested";
}

TEST(Solver, ReportsTheErrorOfTheNearestEntries) {
  for (const Draw& nature : natures()) {
    const auto values = draw(5000, 21, nature);
    const Distribution d = distribution_of(values);
    for (const std::size_t size : {2u, 4u, 8u, 16u, 64u, 256u}) {
      const Palette p = Solver().solve(d, size);
      EXPECT_TRUE(std::is_sorted(p.entries.begin(), p.entries.begin() + static_cast<std::ptrdiff_t>(size),
                                 [](auto a, auto b) { return half_to_float(a) < half_to_float(b); }));
      const double error = nearest_error(values, p.view());
      EXPECT_NEAR(p.squared_error, error, 1e-9 * error);
      double sum = 0;
      for (const double v : values) sum += v * v;
      EXPECT_NEAR(p.squared_sum, sum, 1e-9 * sum);
    }
  }
}

TEST(Solver, NeverLosesByALargerPalette) {
  const Distribution d = distribution_of(draw(20000, 5, gaussian));
  Solver solver;
  double previous = std::numeric_limits<double>::infinity();
  for (const std::size_t size : {2u, 4u, 8u, 16u, 64u, 256u}) {
    const Palette p = solver.solve(d, size);
    EXPECT_LT(p.squared_error, previous);
    previous = p.squared_error;
  }
}

TEST(Solver, ForgetsEarlierGroups) {
  const Distribution small = distribution_of(draw(300, 6, gaussian)), large = distribution_of(draw(30000, 7, gaussian));
  Solver used;
  static_cast<void>(used.solve(large, 256));
  EXPECT_EQ(used.solve(small, 16).entries, Solver().solve(small, 16).entries);
}

TEST(Solver, HandlesTheWholeRangeOfHalves) {
  std::vector<float> values;
  for (unsigned h = 0; h < 65536; ++h)
    if ((h & 0x7c00u) != 0x7c00u) values.push_back(half_to_float(static_cast<std::uint16_t>(h)));
  const Palette p = Solver().solve(distribution_of(values), 16);
  EXPECT_TRUE(p.certified);
  EXPECT_NEAR(p.squared_error, nearest_error(values, p.view()), 1e-9 * p.squared_error);
}

}  // namespace
}  // namespace d2c::palettize4
