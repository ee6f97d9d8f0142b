#include "plugins/lora_unsloth/low_rank_kernel.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <random>
#include <vector>

namespace d2c::lora {
namespace {

struct Problem {
  std::int64_t rows, rank, columns;
  std::vector<float> b, a, w;

  Problem(std::int64_t m, std::int64_t r, std::int64_t n)
      : rows(m), rank(r), columns(n), b(fill(m * r)), a(fill(r * n)), w(fill(m * n)) {}

  [[nodiscard]] std::vector<float> merged(std::int64_t tile) const {
    std::vector<float> out = w;
    const PackedFactor packed(a, rank, columns);
    for (std::int64_t i = 0; i < rows; i += tile)
      packed.add_product(b.data() + i * rank, std::min(tile, rows - i), out.data() + i * columns);
    return out;
  }

 private:
  std::vector<float> fill(std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& v : values) v = uniform(random_);
    return values;
  }
  std::mt19937 random_{1};
};

TEST(PackedFactor, EqualsTheSumInOrderOfTheInnerDimension) {
  const Problem p(19, 5, 71);
  const std::vector<float> merged = p.merged(19);
  for (std::int64_t i = 0; i < p.rows; ++i) {
    for (std::int64_t j = 0; j < p.columns; ++j) {
      volatile float sum = 0;  // keeps the compiler from fusing
      for (std::int64_t k = 0; k < p.rank; ++k) {
        volatile float product =
            p.b[static_cast<std::size_t>(i * p.rank + k)] * p.a[static_cast<std::size_t>(k * p.columns + j)];
        sum = sum + product;
      }
      ASSERT_EQ(merged[static_cast<std::size_t>(i * p.columns + j)],
                p.w[static_cast<std::size_t>(i * p.columns + j)] + sum)
          << i << "," << j;
    }
  }
}

TEST(PackedFactor, GivesTheSameBitsForAnyTiling) {
  const Problem p(50, 16, 200);
  const std::vector<float> whole = p.merged(50);
  for (const std::int64_t tile : {1, 3, 4, 7, 16, 33}) EXPECT_EQ(p.merged(tile), whole) << tile;
}

TEST(PackedFactor, GivesTheSameBitsOnEveryInstructionSet) {
  const Problem p(21, 9, 145);
  const std::vector<float> best = p.merged(21);
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    EXPECT_EQ(p.merged(21), best) << hwy::TargetName(target);
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(PackedFactor, TakesRowsNarrowerThanAPanel) {
  const Problem p(3, 2, 1);
  EXPECT_EQ(p.merged(1), p.merged(3));
}

}  // namespace
}  // namespace d2c::lora
