#include "libs/kernels/row_kernels.hpp"

#include "tests/unit/kernels/targets.hpp"

#include <d2c/half.hpp>

#include <cmath>
#include <limits>
#include <random>

namespace d2c::kernels {
namespace {

std::vector<float> numbers(std::int64_t count, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& v : x) v = normal(random);
  return x;
}

/// Keys or values as fp16 and as fp32, equal numbers.
struct Cache {
  std::vector<std::uint16_t> halves;
  std::vector<float> floats;

  Cache(std::int64_t count, std::int64_t width) : floats(numbers(count * width, 5)) {
    for (float& v : floats) {
      halves.push_back(float_to_half(v));
      v = half_to_float(halves.back());
    }
  }
  [[nodiscard]] HeadRows rows(bool as_halves, std::int64_t count, std::int64_t width) const {
    return {as_halves ? static_cast<const void*>(halves.data()) : floats.data(), as_halves, count, width};
  }
};

struct Head {
  std::int64_t queries, count, width;
};
constexpr Head kHeads[] = {{1, 1, 1},   {1, 5, 64}, {2, 7, 20},  {3, 33, 64},
                           {4, 9, 128}, {5, 4, 10}, {8, 17, 80}, {11, 3, 3}};

class Rows : public EveryTarget {};

TEST_P(Rows, ScoresAreProductsWithEveryKey) {
  for (const auto& [queries, count, width] : kHeads)
    for (const bool halves : {false, true}) {
      const Cache cache(count, width);
      const std::vector<float> q = numbers(queries * width);
      std::vector<float> scores(static_cast<std::size_t>(queries * count));
      score_keys(q.data(), queries, cache.rows(halves, count, width), scores.data());
      for (std::int64_t i = 0; i < queries; ++i)
        for (std::int64_t k = 0; k < count; ++k) {
          double sum = 0, magnitude = 0;
          for (std::int64_t c = 0; c < width; ++c) {
            const double term = static_cast<double>(q[static_cast<std::size_t>(i * width + c)]) *
                                cache.floats[static_cast<std::size_t>(k * width + c)];
            sum += term;
            magnitude += std::abs(term);
          }
          ASSERT_NEAR(scores[static_cast<std::size_t>(i * count + k)], sum, 1e-6 * magnitude) << width << " wide";
        }
    }
}

TEST_P(Rows, MixturesAreWeightedSumsOfTheValues) {
  for (const auto& [queries, count, width] : kHeads)
    for (const bool halves : {false, true}) {
      const Cache cache(count, width);
      const std::vector<float> weights = numbers(queries * count);
      std::vector<float> out(static_cast<std::size_t>(queries * width));
      mix_values(weights.data(), queries, cache.rows(halves, count, width), out.data());
      for (std::int64_t i = 0; i < queries; ++i)
        for (std::int64_t c = 0; c < width; ++c) {
          double sum = 0, magnitude = 0;
          for (std::int64_t k = 0; k < count; ++k) {
            const double term = static_cast<double>(weights[static_cast<std::size_t>(i * count + k)]) *
                                cache.floats[static_cast<std::size_t>(k * width + c)];
            sum += term;
            magnitude += std::abs(term);
          }
          ASSERT_NEAR(out[static_cast<std::size_t>(i * width + c)], sum, 1e-6 * magnitude) << width << " wide";
        }
    }
}

TEST_P(Rows, SoftmaxScalesAndAddsTheBiasFirst) {
  for (const std::int64_t count : {1, 3, 8, 21, 64, 100}) {
    const std::vector<float> x = numbers(count);
    std::vector<float> bias(x.size(), 0.0F), plain(x.size()), biased(x.size());
    if (count > 1) bias[1] = -1e4F;
    softmax(x.data(), 0.5F, nullptr, count, plain.data());
    softmax(x.data(), 0.5F, bias.data(), count, biased.data());
    double total = 0, total_biased = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      total += std::exp(0.5 * x[i]);
      total_biased += std::exp(0.5 * x[i] + bias[i]);
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(plain[i], std::exp(0.5 * x[i]) / total, 1e-6) << count;
      ASSERT_NEAR(biased[i], std::exp(0.5 * x[i] + bias[i]) / total_biased, 1e-6) << count;
    }
    if (count > 1) {
      EXPECT_EQ(biased[1], 0.0F);
    }
  }
}

TEST_P(Rows, SoftmaxWorksInPlaceAndWithNegativeScales) {
  std::vector<float> x{1, 2, 3};
  softmax(x.data(), -1, nullptr, 3, x.data());
  EXPECT_NEAR(x[0], 0.66524096, 1e-6);
  EXPECT_NEAR(x[2], 0.09003057, 1e-6);
}

TEST_P(Rows, SiluFollowsItsFormula) {
  std::vector<float> x = numbers(37);
  x.insert(x.end(), {0, -0.0F, 30, -30, 87, -87, 200, -200, 1e30F, -1e30F});
  std::vector<float> y(x.size());
  silu(x.data(), static_cast<std::int64_t>(x.size()), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = x[i] / (1 + std::exp(-static_cast<double>(x[i])));
    EXPECT_NEAR(y[i], expected, 1e-6 * std::abs(expected) + 1e-7) << x[i];
  }
}

TEST_P(Rows, SumsAreThoseOfDoubles) {
  for (const std::int64_t count : {0, 1, 5, 16, 35, 576}) {
    const std::vector<float> x = numbers(count);
    double plain = 0, squares = 0;
    for (const double v : x) plain += v, squares += v * v;
    EXPECT_NEAR(sum(x.data(), count), plain, 1e-12 * (1 + squares));
    EXPECT_NEAR(sum_of_squares(x.data(), count), squares, 1e-12 * (1 + squares));
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Rows, testing::ValuesIn(targets()), target_name);

}  // namespace
}  // namespace d2c::kernels
