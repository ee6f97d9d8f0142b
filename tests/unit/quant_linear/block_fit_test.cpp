#include "plugins/quant_linear/block_fit.hpp"

#include <d2c/half.hpp>

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace d2c::linear {
namespace {

constexpr OffsetKind kKinds[] = {OffsetKind::none, OffsetKind::integer, OffsetKind::fp16};

std::vector<float> random_block(std::size_t count, unsigned seed, float mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, 0.03f);
  std::vector<float> block(count);
  for (float& w : block) w = half_to_float(float_to_half(normal(random)));
  return block;
}

double error_of(const Grid& grid, const Fit& fit, const std::vector<float>& block) {
  std::vector<std::uint8_t> levels(block.size());
  std::vector<float> restored(block.size());
  quantize_block(grid, fit, block, levels.data(), restored.data());
  double sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    EXPECT_LE(levels[i], grid.last());
    EXPECT_EQ(restored[i], half_to_float(fit.scale) * (static_cast<float>(levels[i]) - fit.offset));
    sum += (double{block[i]} - restored[i]) * (double{block[i]} - restored[i]);
  }
  return sum;
}

TEST(QuantizeBlock, TakesTheNearestLevel) {
  for (const OffsetKind kind : kKinds) {
    const Grid grid{4, kind};
    const auto block = random_block(77, 1);
    const Fit fit = fit_range(grid, block);
    double nearest = 0;
    for (const float w : block) {
      double best = std::numeric_limits<double>::infinity();
      for (float level = 0; level <= grid.last(); ++level)
        best = std::min(best, std::abs(double{w} - half_to_float(fit.scale) * (level - fit.offset)));
      nearest += best * best;
    }
    EXPECT_NEAR(error_of(grid, fit, block), nearest, 1e-6 * nearest);
  }
}

TEST(FitLeastSquares, IsNeverWorseThanTheRange) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    const auto block = random_block(1 + seed % 67, seed, seed % 3 == 0 ? 0.05f : 0);
    for (const int bits : {4, 8})
      for (const OffsetKind kind : kKinds) {
        const Grid grid{bits, kind};
        const double range = error_of(grid, fit_range(grid, block), block);
        EXPECT_LE(error_of(grid, fit_least_squares(grid, block), block), range * (1 + 1e-5) + 1e-18);
      }
  }
}

/// The least error over every fp16 scale there is.
double least_symmetric_error(const Grid& grid, const std::vector<float>& block) {
  double least = std::numeric_limits<double>::infinity();
  for (std::uint16_t scale = 1; scale < 0x3c00; ++scale)
    least = std::min(least, error_of(grid, {scale, grid.middle()}, block));
  return least;
}

TEST(FitLeastSquares, IsCloseToTheBestScaleThereIs) {
  double ours = 0, best = 0;
  for (unsigned seed = 0; seed < 40; ++seed) {
    const Grid grid{4, OffsetKind::none};
    const auto block = random_block(32, seed);
    const double error = error_of(grid, fit_least_squares(grid, block), block);
    const double least = least_symmetric_error(grid, block);
    EXPECT_LE(error, 1.25 * least);
    ours += error;
    best += least;
  }
  EXPECT_LE(ours, 1.03 * best);
}

TEST(FitLeastSquares, FindsTheGridThatWeightsLieOn) {
  const float scale = half_to_float(float_to_half(0.0123f));
  std::vector<float> symmetric, shifted;
  for (int i = 0; i < 32; ++i) {
    symmetric.push_back(scale * static_cast<float>(i % 15 - 7));
    shifted.push_back(scale * static_cast<float>(i % 16 - 11));
  }
  EXPECT_EQ(error_of({4, OffsetKind::none}, fit_least_squares({4, OffsetKind::none}, symmetric), symmetric), 0);
  EXPECT_EQ(error_of({4, OffsetKind::integer}, fit_least_squares({4, OffsetKind::integer}, shifted), shifted), 0);
  EXPECT_EQ(error_of({4, OffsetKind::fp16}, fit_least_squares({4, OffsetKind::fp16}, shifted), shifted), 0);
}

TEST(FitLeastSquares, StoresZerosAndTheEdgesOfFp16) {
  constexpr float kLeast = 0x1p-24f, kLargest = 65504;
  for (const OffsetKind kind : kKinds)
    for (const int bits : {4, 8})
      for (const float w : {0.f, -0.f, kLeast, -kLeast, 5 * kLeast, kLargest, -kLargest}) {
        const Grid grid{bits, kind};
        const std::vector<float> block{0, w, w, 0, w};
        for (const Fit& fit : {fit_range(grid, block), fit_least_squares(grid, block)}) {
          const float steps = std::max(fit.offset, grid.last() - fit.offset);
          EXPECT_LE(half_to_float(fit.scale) * steps, kLargest) << w << ", bits " << bits;
          EXPECT_TRUE(std::isfinite(half_to_float(fit.scale)));
          EXPECT_GT(fit.scale, 0);
          EXPECT_LE(fit.offset, grid.last());
          EXPECT_GE(fit.offset, 0);
          const double tolerance = std::abs(w) >= kLargest ? 0.15 : 1e-3;
          EXPECT_LE(error_of(grid, fit, block), 3 * std::pow(tolerance * w, 2)) << w << ", bits " << bits;
        }
      }
}

TEST(FitLeastSquares, IsTheSameOnEveryTarget) {
  for (const OffsetKind kind : kKinds)
    for (const std::size_t count : {1u, 31u, 32u, 200u}) {
      const auto block = random_block(count, 5);
      const Fit expected = fit_least_squares({4, kind}, block);
      for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        const Fit fit = fit_least_squares({4, kind}, block);
        EXPECT_EQ(fit.scale, expected.scale) << hwy::TargetName(target);
        EXPECT_EQ(fit.offset, expected.offset) << hwy::TargetName(target);
      }
      hwy::SetSupportedTargetsForTest(0);
    }
}

}  // namespace
}  // namespace d2c::linear
