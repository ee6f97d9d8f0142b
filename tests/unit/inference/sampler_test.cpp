#include "host/inference/sampler.hpp"

#include <d2c/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

namespace d2c::host {
namespace {

using Tokens = std::vector<std::int32_t>;

Tokens draws(const SamplingOptions& options, const std::vector<float>& logits, int count) {
  Sampler sampler(options);
  Tokens tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(sampler.pick(logits, {}));
  return tokens;
}

std::set<std::int32_t> drawn(const SamplingOptions& options, const std::vector<float>& logits) {
  const Tokens tokens = draws(options, logits, 300);
  return {tokens.begin(), tokens.end()};
}

SamplingOptions warm() {
  SamplingOptions options;
  options.temperature = 1;
  return options;
}

TEST(Argmax, TakesTheLowestIdAmongEquals) { EXPECT_EQ(argmax(std::vector<float>{1, 3, 3, 2}), 1); }

TEST(Argmax, RefusesNumbersThatAreNone) {
  const std::vector<float> logits{1, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW((void)argmax(logits), Error);
  EXPECT_THROW((void)Sampler({}).pick(logits, {}), Error);
}

TEST(Argmax, TakesInfinityForANumber) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(argmax(std::vector<float>{-infinity, 0, infinity}), 2);
  EXPECT_EQ(Sampler(warm()).pick(std::vector<float>{-infinity, 0, infinity}, {}), 2);
}

TEST(Sampler, IsGreedyWithoutTemperature) { EXPECT_EQ(Sampler({}).pick(std::vector<float>{0, 2, 1}, {}), 1); }

TEST(Sampler, DrawsByProbability) {
  const Tokens tokens = draws(warm(), {std::log(3.0F), 0}, 4000);
  EXPECT_NEAR(static_cast<double>(std::count(tokens.begin(), tokens.end(), 0)), 3000, 120);
}

TEST(Sampler, RepeatsItselfForTheSameSeed) {
  SamplingOptions options = warm();
  options.seed = 7;
  const std::vector<float> logits{0.1F, 0.2F, 0.3F, 0.25F, 0};
  EXPECT_EQ(draws(options, logits, 16), (Tokens{3, 4, 0, 2, 4, 1, 4, 1, 4, 3, 1, 1, 1, 0, 1, 3}));
  SamplingOptions other = options;
  other.seed = 8;
  EXPECT_NE(draws(options, logits, 16), draws(other, logits, 16));
}

TEST(Sampler, SharpensAndFlattensByTemperature) {
  SamplingOptions options = warm();
  options.temperature = 0.01;
  EXPECT_EQ(drawn(options, {1, 2, 1}), (std::set<std::int32_t>{1}));
  options.temperature = 100;
  EXPECT_EQ(drawn(options, {1, 2, 1}).size(), 3U);
}

TEST(Sampler, KeepsTheTopKWithTheLowestIdsAmongEquals) {
  SamplingOptions options = warm();
  options.top_k = 2;
  EXPECT_EQ(drawn(options, {1, 1, 1, 0.5F}), (std::set<std::int32_t>{0, 1}));
  options.top_k = 99;
  EXPECT_EQ(drawn(options, {1, 1, 1, 0.5F}).size(), 4U);
}

TEST(Sampler, KeepsTheFewestTokensThatHoldTopP) {
  SamplingOptions options = warm();
  const std::vector<float> logits{std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  options.top_p = 0.45;
  EXPECT_EQ(drawn(options, logits), (std::set<std::int32_t>{0}));
  options.top_p = 0.7;
  EXPECT_EQ(drawn(options, logits), (std::set<std::int32_t>{0, 1}));
}

TEST(Sampler, KeepsTokensThatAreLikelyEnoughNextToTheLikeliest) {
  SamplingOptions options = warm();
  options.min_p = 0.5;
  EXPECT_EQ(drawn(options, {std::log(0.5F), std::log(0.3F), std::log(0.2F)}), (std::set<std::int32_t>{0, 1}));
}

TEST(Sampler, MakesWhatWasSaidLessLikely) {
  SamplingOptions options;
  options.repetition_penalty = 2;
  Sampler sampler(options);
  const std::vector<float> logits{3, 2, -1};
  EXPECT_EQ(sampler.pick(logits, Tokens{0, 0}), 1);
  EXPECT_EQ(sampler.pick(std::vector<float>{-1, -1.5F}, Tokens{0}), 1);
  EXPECT_EQ(sampler.pick(logits, Tokens{99, -1}), 0);
}

TEST(Sampler, RefusesSettingsWithoutSense) {
  const auto refused = [](auto change) {
    SamplingOptions options;
    change(options);
    EXPECT_THROW(Sampler{options}, Error);
  };
  refused([](auto& o) { o.temperature = -1; });
  refused([](auto& o) { o.temperature = std::nan(""); });
  refused([](auto& o) { o.top_k = -1; });
  refused([](auto& o) { o.top_p = 0; });
  refused([](auto& o) { o.top_p = 1.5; });
  refused([](auto& o) { o.min_p = 2; });
  refused([](auto& o) { o.repetition_penalty = 0; });
}

}  // namespace
}  // namespace d2c::host
