#include "host/inference/percentile.hpp"

#include <gtest/gtest.h>

namespace d2c::host {
namespace {

TEST(Percentile, InterpolatesBetweenRanks) {
  EXPECT_EQ(percentile({4, 1, 3, 2}, 50), 2.5);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0), 1);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 100), 4);
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3}, 90), 2.8);
}

TEST(Percentile, OfOneSampleIsThatSample) { EXPECT_EQ(percentile({7}, 99), 7); }

TEST(Percentile, OfNothingIsZero) { EXPECT_EQ(percentile({}, 50), 0); }

}  // namespace
}  // namespace d2c::host
