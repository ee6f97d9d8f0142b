#include "host/verify/reference.hpp"

#include "host/inference/sampler.hpp"
#include "tests/unit/inference/counting_model.hpp"
#include "tests/unit/verify/golden.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::host {
namespace {

using test::GoldenWriter;
using testing::ElementsAre;
using testing::HasSubstr;

std::string refusal(const GoldenWriter& writer) {
  const std::string path = writer.write();
  std::string message = "accepted";
  try {
    (void)read_golden(path);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input);
    message = e.what();
  }
  std::filesystem::remove(path);
  return message;
}

GoldenWriter one_prompt() {
  GoldenWriter w;
  w.ints("prompt.0.tokens", {1, 2});
  w.ints("prompt.0.generated", {1});
  w.reals("prompt.0.logits", {2, 3}, {0, 1, 0, 0, 0, 2});
  return w;
}

TEST(Golden, HoldsPromptsAndSentences) {
  GoldenWriter w = one_prompt();
  w.metadata["prompt.0"] = "one two";
  w.ints("sentence.0.ids", {7, 8});
  w.ints("sentence.0.pooling_mask", {0, 1});
  w.reals("sentence.0.embedding", {2}, {3, 4});
  w.ints("sentence.1.ids", {9});
  w.reals("sentence.1.embedding", {2}, {5, 6});
  const std::string path = w.write();
  const Reference r = read_golden(path);
  std::filesystem::remove(path);
  EXPECT_EQ(r.name, "by hand");
  EXPECT_EQ(r.weights, ReferenceWeights::package);
  ASSERT_EQ(r.prompts.size(), 1);
  EXPECT_EQ(r.prompts[0].prompt.text, "one two");
  EXPECT_THAT(r.prompts[0].answer, ElementsAre(1));
  EXPECT_THAT(r.prompts[0].logits(1), ElementsAre(0, 0, 2));
  ASSERT_EQ(r.sentences.size(), 2);
  EXPECT_THAT(r.sentences[0].sentence.input.pooling_mask, ElementsAre(0, 1));
  EXPECT_TRUE(r.sentences[1].sentence.input.pooling_mask.empty());
  EXPECT_THAT(r.sentences[1].embedding, ElementsAre(5, 6));
}

TEST(Golden, MayHoldNothing) {
  const std::string path = GoldenWriter().write();
  EXPECT_TRUE(read_golden(path).prompts.empty());
  std::filesystem::remove(path);
}

TEST(Golden, OfAnotherKindIsRefused) {
  GoldenWriter w = one_prompt();
  w.metadata["format"] = "something else";
  EXPECT_THAT(refusal(w), HasSubstr("is no golden file"));
  w.metadata["format"] = "dolphin2coreml golden 1";
  w.metadata["weights"] = "mine";
  EXPECT_THAT(refusal(w), HasSubstr("\"mine\""));
}

TEST(Golden, NamesTheTensorThatDoesNotFit) {
  GoldenWriter missing;
  missing.ints("prompt.0.tokens", {1});
  EXPECT_THAT(refusal(missing), HasSubstr("lacks the tensor prompt.0.generated"));
  GoldenWriter rows = missing;
  rows.ints("prompt.0.generated", {1, 2});
  rows.reals("prompt.0.logits", {2, 3}, {0, 1, 0, 0, 0, 2});
  EXPECT_THAT(refusal(rows), HasSubstr("expected 3 rows"));
  GoldenWriter kind = missing;
  kind.reals("prompt.0.generated", {1}, {1});
  EXPECT_THAT(refusal(kind), HasSubstr("prompt.0.generated is F32"));
  GoldenWriter rank = missing;
  rank.ints("prompt.0.generated", {});
  rank.reals("prompt.0.logits", {3}, {1, 2, 3});
  EXPECT_THAT(refusal(rank), HasSubstr("of rank 2"));
}

TEST(Record, AnswersGreedilyAndKeepsEveryRow) {
  const CountingModel model;
  const PromptTokens prompts[] = {{"", {1, 2, 3}}, {"", {4}}};
  const SentenceTokens sentences[] = {{"", {{5, 6}, {}, {}}}};
  const Reference r = record(model.get(), prompts, 4, sentences);
  ASSERT_EQ(r.prompts.size(), 2);
  std::vector<std::int32_t> tokens{1, 2, 3};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(argmax(r.prompts[0].logits(i)), r.prompts[0].answer[i]);
    EXPECT_EQ(r.prompts[0].answer[i], next_after(tokens));
    tokens.push_back(r.prompts[0].answer[i]);
  }
  EXPECT_EQ(argmax(r.prompts[0].logits(4)), next_after(tokens));
  ASSERT_EQ(r.sentences.size(), 1);
  EXPECT_THAT(r.sentences[0].embedding, ElementsAre(11, 2, 2));
}

TEST(Record, LeavesOutWhatTheModelLacks) {
  const PromptTokens prompts[] = {{"", {1}}};
  const SentenceTokens sentences[] = {{"", {{5}, {}, {}}}};
  const CountingModel chat("init,decode"), encoder("encode");
  EXPECT_TRUE(record(chat.get(), prompts, 1, sentences).sentences.empty());
  EXPECT_TRUE(record(encoder.get(), prompts, 1, sentences).prompts.empty());
}

}  // namespace
}  // namespace d2c::host
