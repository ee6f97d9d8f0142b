#include "host/verify/divergence.hpp"

#include <d2c/error.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace d2c::host {
namespace {

using Logits = std::vector<float>;

TEST(Divergence, IsZeroForTheSameDistribution) {
  Divergence d;
  d.add(Logits{1, 2, 3}, Logits{1, 2, 3});
  d.add(Logits{1, 2, 3}, Logits{101, 102, 103});  // logits count up to a constant
  EXPECT_EQ(d.positions(), 2);
  EXPECT_NEAR(d.mean_kl(), 0, 1e-12);
  EXPECT_EQ(d.agreement(), 1);
}

TEST(Divergence, IsTheKullbackLeiblerDivergenceFromTheReference) {
  const double p = 0.75, q = 0.25;
  Divergence d;
  d.add(Logits{static_cast<float>(std::log(p)), static_cast<float>(std::log(1 - p))},
        Logits{static_cast<float>(std::log(q)), static_cast<float>(std::log(1 - q))});
  EXPECT_NEAR(d.mean_kl(), p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q)), 1e-7);
  EXPECT_EQ(d.agreement(), 0);
}

TEST(Divergence, KnowsTheWorstPosition) {
  Divergence d;
  d.add(Logits{0, 0}, Logits{0, 0});
  d.add(Logits{9, 0}, Logits{0, 9});
  EXPECT_NEAR(d.max_kl(), 2 * d.mean_kl(), 1e-12);
  EXPECT_EQ(d.agreement(), 0.5);
}

TEST(Divergence, CountsPerplexityOnlyWhereTheNextTokenIsKnown) {
  Divergence d;
  d.add(Logits{0, 0, 0, 0}, Logits{static_cast<float>(std::log(5)), 0, 0, 0}, 0);
  d.add(Logits{0, 0, 0, 0}, Logits{50, 0, 0, 0});
  EXPECT_EQ(d.predicted(), 1);
  EXPECT_NEAR(d.reference_perplexity(), 4, 1e-6);
  EXPECT_NEAR(d.perplexity(), 8.0 / 5, 1e-6);
}

TEST(Divergence, StandsLogitsOfAnySize) {
  Divergence d;
  d.add(Logits{3e4F, -3e4F}, Logits{-3e4F, 3e4F});
  EXPECT_NEAR(d.mean_kl(), 6e4, 1);
}

TEST(Divergence, RefusesWhatCannotBeCompared) {
  Divergence d;
  EXPECT_THROW(d.add(Logits{1, 2}, Logits{1, 2, 3}), Error);
  EXPECT_THROW(d.add(Logits{1, 2}, Logits{1, std::numeric_limits<float>::quiet_NaN()}), Error);
  EXPECT_EQ(d.positions(), 0);
}

}  // namespace
}  // namespace d2c::host
