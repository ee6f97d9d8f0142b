#include "plugins/lora_unsloth/join.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace d2c::lora {
namespace {

std::vector<float> random_values(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  std::generate(values.begin(), values.end(), [&] { return normal(random); });
  return values;
}

std::vector<float> multiply(const Product& p, std::int64_t rows, std::int64_t columns) {
  std::vector<float> out(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t k = 0; k < p.rank; ++k)
      for (std::int64_t j = 0; j < columns; ++j)
        out[static_cast<std::size_t>(i * columns + j)] +=
            p.b[static_cast<std::size_t>(i * p.rank + k)] * p.a[static_cast<std::size_t>(k * columns + j)];
  return out;
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

struct Sides {
  std::int64_t rows, columns;
};

class NearestProduct : public ::testing::TestWithParam<Sides> {};

TEST_P(NearestProduct, OfAMatrixIsThatOfItsFactors) {
  const auto [rows, columns] = GetParam();
  const Product whole{9, random_values(rows * 9, 1), random_values(9 * columns, 2)};
  for (const std::int64_t rank : {1, 4, 9}) {
    const Product expected = nearest_product({&whole, 1}, rows, columns, rank);
    const Product found = nearest_product(multiply(whole, rows, columns), rows, columns, rank);
    EXPECT_EQ(found.rank, rank);
    expect_near(multiply(found, rows, columns), multiply(expected, rows, columns), 2e-4);
  }
}

TEST_P(NearestProduct, OfFullRankIsTheMatrix) {
  const auto [rows, columns] = GetParam();
  const std::vector<float> matrix = random_values(rows * columns, 3);
  const Product found = nearest_product(matrix, rows, columns, 1000);
  EXPECT_EQ(found.rank, std::min(rows, columns));
  expect_near(multiply(found, rows, columns), matrix, 1e-4);
}

TEST_P(NearestProduct, LeadingProductHoldsTheFirstColumns) {
  const auto [rows, columns] = GetParam();
  const std::vector<float> matrix = random_values(rows * columns, 4);
  const std::vector<float> found = multiply(leading_product(matrix, rows, columns, 5), rows, columns);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < 5; ++j) {
      const auto at = static_cast<std::size_t>(i * columns + j);
      EXPECT_NEAR(found[at], matrix[at], 1e-4);
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, NearestProduct,
                         ::testing::Values(Sides{12, 40}, Sides{40, 12}, Sides{16, 16}, Sides{10, 700},
                                           Sides{600, 11}));

TEST(JoinValues, DroppingAtRandomKeepsTheShareAskedForAndTheExpectation) {
  constexpr std::size_t kCount = 100000;
  for (const double density : {0.1, 0.5, 0.9}) {
    JoinSettings settings;
    settings.density = density;
    std::vector<Summand> one{{std::vector<float>(kCount, 3.0f), 1, "a"}};
    const std::vector<float> kept = join_values(one, Join::dare_linear, settings);
    const auto left = kCount - static_cast<std::size_t>(std::count(kept.begin(), kept.end(), 0.0f));
    EXPECT_NEAR(static_cast<double>(left) / kCount, density, 0.006);
    EXPECT_NEAR(std::accumulate(kept.begin(), kept.end(), 0.0) / kCount, 3, 0.2);
    settings.seed = 1;
    EXPECT_NE(join_values(one, Join::dare_linear, settings), kept);
  }
}

TEST(JoinValues, TrimmingKeepsTheLargestOfEach) {
  JoinSettings settings;
  settings.density = 0.5;
  const std::vector<Summand> two{{{1, -4, 3, 0.5f}, 1, "a"}, {{0.1f, 2, -1, 0.2f}, 2, "b"}};
  EXPECT_EQ(join_values(two, Join::magnitude_prune, settings), (std::vector<float>{0, 0, 1, 0}));
  EXPECT_EQ(join_values(two, Join::ties, settings), (std::vector<float>{0, -4, 3, 0}));
}

}  // namespace
}  // namespace d2c::lora
