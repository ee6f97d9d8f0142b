#include "plugins/source_gguf/rope_scaling.hpp"

#include "tests/unit/source_gguf/gguf_builder.hpp"

#include <gmock/gmock.h>

#include <cmath>

namespace d2c::source_gguf {
namespace {

using testing::GgufBuilder;
using ::testing::HasSubstr;
using testing::OpenedModel;
using testing::small_llama;
using ::testing::ThrowsMessage;

constexpr double kTheta = 500000;
constexpr std::size_t kHalfHead = 64;

std::vector<float> divisors_of(const Llama3Scaling& s) {
  std::vector<float> divisors;
  for (std::size_t i = 0; i < kHalfHead; ++i)
    divisors.push_back(
        static_cast<float>(s.divisor(std::pow(kTheta, -static_cast<double>(i) / static_cast<double>(kHalfHead)))));
  return divisors;
}

TEST(RopeScaling, RecognizesLlama3) {
  const auto fit = fit_llama3(divisors_of({8, 1, 4, 8192}), kTheta, 8192);
  ASSERT_TRUE(fit);
  EXPECT_EQ(fit->factor, 8);
  EXPECT_EQ(fit->low_freq_factor, 1);
  EXPECT_EQ(fit->high_freq_factor, 4);
}

TEST(RopeScaling, RecoversOtherParametersFromTheBlendedFrequencies) {
  const auto fit = fit_llama3(divisors_of({32, 1.5, 6, 8192}), kTheta, 8192);
  ASSERT_TRUE(fit);
  EXPECT_EQ(fit->factor, 32);
  EXPECT_EQ(fit->low_freq_factor, 1.5);
  EXPECT_EQ(fit->high_freq_factor, 6);
}

TEST(RopeScaling, GivesAnEqualFormulaWhereTheOriginalContextIsAnotherOne) {
  const std::vector<float> divisors = divisors_of({8, 1, 4, 2048});
  const auto fit = fit_llama3(divisors, kTheta, 8192);
  ASSERT_TRUE(fit);
  EXPECT_EQ(fit->low_freq_factor, 4);
  EXPECT_EQ(fit->high_freq_factor, 16);
  EXPECT_EQ(divisors_of(*fit), divisors);
}

TEST(RopeScaling, FindsNothingInOtherDivisors) {
  std::vector<float> rising(kHalfHead);
  for (std::size_t i = 0; i < kHalfHead; ++i) rising[i] = 1 + static_cast<float>(i);
  EXPECT_FALSE(fit_llama3(rising, kTheta, 8192));
  for (const float odd : {0.0f, -2.0f, INFINITY, NAN}) {
    std::vector<float> divisors = divisors_of({8, 1, 4, 8192});
    divisors[5] = odd;
    EXPECT_FALSE(fit_llama3(divisors, kTheta, 8192)) << odd;
  }
  EXPECT_FALSE(fit_llama3({}, kTheta, 8192));
}

/// Rows for a head of 4: frequencies 1 and theta^-1/2.
Value scaling_of(const GgufBuilder& b) {
  const OpenedModel model(b);
  const Value* v = model->config().find("rope_scaling");
  return v == nullptr ? Value() : *v;
}

TEST(RopeScaling, BecomesLlama3InTheConfig) {
  const Value scaled =
      scaling_of(small_llama().floats("rope_freqs.weight", {2}, {1, 8}).f32("llama.rope.freq_base", 1e9f));
  EXPECT_EQ(scaled.at("rope_type").as_text(), "llama3");
  EXPECT_EQ(scaled.at("factor").as_real(), 8);
  EXPECT_EQ(scaled.at("low_freq_factor").as_real(), 1);
  EXPECT_EQ(scaled.at("high_freq_factor").as_real(), 4);
  EXPECT_EQ(scaled.at("original_max_position_embeddings").as_int(), 8192);
}

TEST(RopeScaling, IsNoWeight) {
  const OpenedModel m(small_llama().floats("rope_freqs.weight", {2}, {1, 1}));
  EXPECT_EQ(m->tensors().size(), OpenedModel(small_llama())->tensors().size());
  EXPECT_EQ(m->config().find("rope_scaling"), nullptr);
}

TEST(RopeScaling, RefusesDivisorsThatFollowNoFormula) {
  EXPECT_THAT(
      [] {
        scaling_of(small_llama().floats("rope_freqs.weight", {2}, {3, 2}));
      },
      ThrowsMessage<Error>(HasSubstr("rope_freqs.weight")));
  EXPECT_THAT(
      [] {
        scaling_of(small_llama().floats("rope_freqs.weight", {3}, {1, 1, 1}));
      },
      ThrowsMessage<Error>(HasSubstr("rope_freqs.weight")));
}

TEST(RopeScaling, TakesLinearScalingFromTheMetadata) {
  const Value v =
      scaling_of(small_llama().text("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 4));
  EXPECT_EQ(v.at("rope_type").as_text(), "linear");
  EXPECT_EQ(v.at("factor").as_real(), 4);
  EXPECT_EQ(scaling_of(small_llama().f32("llama.rope.scale_linear", 2)).at("factor").as_real(), 2);
  EXPECT_TRUE(scaling_of(small_llama().text("llama.rope.scaling.type", "none")).is_null());
}

TEST(RopeScaling, RefusesOtherScalingsByName) {
  EXPECT_THAT([] { scaling_of(small_llama().text("llama.rope.scaling.type", "yarn")); },
              ThrowsMessage<Error>(HasSubstr("'yarn'")));
  EXPECT_THAT([] { scaling_of(small_llama().text("llama.rope.scaling.type", "linear")); },
              ThrowsMessage<Error>(HasSubstr("llama.rope.scaling.factor")));
  EXPECT_THAT(
      [] { scaling_of(small_llama().text("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 0)); },
      ThrowsMessage<Error>(HasSubstr("llama.rope.scaling.factor")));
}

}  // namespace
}  // namespace d2c::source_gguf
