#include "host/verify/verification.hpp"

#include "host/recipe/recipe.hpp"
#include "tests/unit/inference/counting_model.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

namespace d2c::host {
namespace {

VerifySettings settings() { return VerifySettings::parse(load_recipe("configs/base.toml", {}).verify); }
std::string no_text(std::span<const std::int32_t>) { return {}; }

/// What the counting model itself answers.
Reference own_reference(ReferenceWeights weights) {
  const CountingModel model;
  const PromptTokens prompts[] = {{"", {1, 2, 3}}, {"", {4, 5}}};
  const SentenceTokens sentences[] = {{"", {{5, 6}, {}, {}}}, {"", {{1}, {}, {}}}, {"", {{9, 2, 4}, {1, 1, 0}, {}}}};
  Reference r = record(model.get(), prompts, 4, sentences);
  r.weights = weights;
  return r;
}

/// The reference with one logit of one row changed.
Reference tampered(ReferenceWeights weights, std::size_t index, float by) {
  Reference r = own_reference(weights);
  auto logits = std::make_shared<std::vector<float>>();
  const auto* data = reinterpret_cast<const float*>(r.prompts[1].data.bytes.data());
  logits->assign(data, data + r.prompts[1].data.bytes.size() / sizeof(float));
  (*logits)[index] += by;
  r.prompts[1].data = {std::as_bytes(std::span(*logits)), logits};
  return r;
}

bool passes(const Reference& reference) {
  const CountingModel model;
  Verification v(model.get(), settings(), no_text);
  v.compare(reference);
  EXPECT_EQ(v.report().at("validation_passed").as_bool(), v.passed());
  return v.passed();
}

TEST(Verification, PassesForTheModelItself) {
  EXPECT_TRUE(passes(own_reference(ReferenceWeights::package)));
  EXPECT_TRUE(passes(own_reference(ReferenceWeights::checkpoint)));
}

TEST(Verification, WithoutAnythingToCompareIsNoPass) {
  const CountingModel model;
  Verification v(model.get(), settings(), no_text);
  EXPECT_FALSE(v.passed());
  v.compare(Reference());
  EXPECT_FALSE(v.passed());
  EXPECT_FALSE(v.report().at("transcripts_passed").as_bool());
}

TEST(Verification, NoticesALogitOfItsOwnWeightsThatIsOff) {
  EXPECT_TRUE(passes(tampered(ReferenceWeights::package, 3, 0.01F)));
  EXPECT_FALSE(passes(tampered(ReferenceWeights::package, 3, 0.5F)));
}

TEST(Verification, NoticesAnotherAnswer) {
  Reference r = own_reference(ReferenceWeights::package);
  r.prompts[0].answer[1] = (r.prompts[0].answer[1] + 1) % 16;
  EXPECT_FALSE(passes(r));
}

TEST(Verification, ExcusesAnotherAnswerWhereTheReferenceHardlyPreferredIt) {
  Reference r = own_reference(ReferenceWeights::package);
  auto logits = std::make_shared<std::vector<float>>();
  const std::size_t vocab = r.prompts[0].vocab;
  const auto* data = reinterpret_cast<const float*>(r.prompts[0].data.bytes.data());
  logits->assign(data, data + r.prompts[0].data.bytes.size() / sizeof(float));
  // The last token chosen and another one, nearly as good to both sides.
  const auto last = static_cast<std::size_t>(r.prompts[0].answer[3]);
  const std::size_t other = (last + 1) % vocab;
  (*logits)[3 * vocab + other] = (*logits)[3 * vocab + last] + 0.01F;
  r.prompts[0].answer[3] = static_cast<std::int32_t>(other);
  r.prompts[0].data = {std::as_bytes(std::span(*logits)), logits};
  const CountingModel model;
  Verification v(model.get(), settings(), no_text);
  v.compare(r);
  EXPECT_TRUE(v.report().at("transcripts").items()[0].at("match").as_bool());
}

TEST(Verification, NoticesASourceThatPredictsOtherwise) {
  EXPECT_FALSE(passes(tampered(ReferenceWeights::checkpoint, 3, 40)));
}

TEST(Verification, NoticesAnotherEmbedding) {
  for (const auto weights : {ReferenceWeights::package, ReferenceWeights::checkpoint}) {
    Reference r = own_reference(weights);
    r.sentences[1].embedding = {-1, 1, 1};
    EXPECT_FALSE(passes(r));
  }
}

TEST(Verification, NoticesAnEmbeddingThatIsNoNumber) {
  for (std::size_t i = 0; i < 3; ++i) {
    Reference r = own_reference(ReferenceWeights::package);
    r.sentences[i].embedding[0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_FALSE(passes(r)) << i;
  }
}

TEST(Verification, RefusesAReferenceOfAnotherModel) {
  Reference wide = own_reference(ReferenceWeights::package);
  wide.sentences[0].embedding.push_back(0);
  EXPECT_THROW((void)passes(wide), Error);
  Reference vocabulary = own_reference(ReferenceWeights::package);
  vocabulary.prompts[0].vocab = 8;
  EXPECT_THROW((void)passes(vocabulary), Error);
}

TEST(Verification, FollowsATextThroughBothModels) {
  const CountingModel package("init,decode"), source("score,decode");
  std::vector<std::int32_t> text(40);
  std::iota(text.begin(), text.end(), 0);
  for (std::int32_t& token : text) token = token * 7 % 16;
  Verification v(package.get(), settings(), no_text);
  v.compare_on_text(source.get(), text, "text");
  EXPECT_TRUE(v.passed());
  const Value d = v.report().at("divergence").items().at(0);
  EXPECT_EQ(d.at("positions").as_int(), 40);
  EXPECT_EQ(d.at("window").as_int(), kCountingContext);
  EXPECT_EQ(d.at("mean_kl").as_real(), 0);
  EXPECT_EQ(d.at("perplexity").as_real(), d.at("reference_perplexity").as_real());
}

TEST(Verification, NeedsTwoTokensOfText) {
  const CountingModel model;
  Verification v(model.get(), settings(), no_text);
  EXPECT_THROW(v.compare_on_text(model.get(), std::vector<std::int32_t>{1}, "text"), Error);
}

}  // namespace
}  // namespace d2c::host
