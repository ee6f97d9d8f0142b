#include "host/inference/embedder.hpp"

#include "tests/unit/inference/counting_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::host {
namespace {

using testing::HasSubstr;

std::string error(const EncoderInput& input) {
  const CountingModel model;
  const std::vector<EncoderInput> inputs{{{1, 2}, {}}, input};
  try {
    (void)Embedder(model.get()).embed(inputs);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input);
    return e.what();
  }
  return "no error";
}

TEST(Embedder, PoolsEveryTokenUnlessToldOtherwise) {
  const CountingModel model;
  const Embedder embedder(model.get());
  EXPECT_EQ(embedder.width(), 3);
  EXPECT_EQ(embedder.max_length(), 6);
  const std::vector<EncoderInput> inputs{{{5, 6, 7}, {}}, {{5, 6, 7}, {0, 1, 9}}, {{1, 1, 1, 1, 1, 1}, {}}};
  EXPECT_THAT(embedder.embed(inputs), testing::ElementsAre(18, 3, 3, 13, 2, 3, 6, 6, 6));
}

TEST(Embedder, NamesTheInputThatCannotBe) {
  EXPECT_THAT(error({{1, 2, 3, 4, 5, 6, 7}, {}}), HasSubstr("input 1: 7 tokens do not fit"));
  EXPECT_THAT(error({{}, {}}), HasSubstr("input 1: there is no token"));
  EXPECT_THAT(error({{16}, {}}), HasSubstr("vocabulary of 16"));
  EXPECT_THAT(error({{-1}, {}}), HasSubstr("vocabulary"));
  EXPECT_THAT(error({{1, 2}, {1}}), HasSubstr("pooling_mask has 1 entries for 2 tokens"));
  EXPECT_THAT(error({{1, 2}, {0, 0}}), HasSubstr("all zeros"));
}

TEST(Embedder, TakesTheShortestFunctionThatFits) {
  const CountingModel model("encode,encode_3");
  const Embedder embedder(model.get());
  EXPECT_EQ(embedder.max_length(), 6);
  EXPECT_EQ(embedder.length_for(1), 3);
  EXPECT_EQ(embedder.length_for(3), 3);
  EXPECT_EQ(embedder.length_for(4), 6);
  const std::vector<EncoderInput> inputs{{{5, 6, 7}, {}}, {{5, 6, 7, 8}, {}}, {{4}, {}}};
  EXPECT_THAT(embedder.embed(inputs), testing::ElementsAre(18, 3, 3, 26, 4, 4, 4, 1, 1));
}

TEST(Embedder, GivesRowsInOrderHoweverTextsAreBatched) {
  for (const char* functions : {"encode,encode_x4", "encode,encode_3,encode_3_x4", "encode,encode_3,encode_x4"}) {
    const CountingModel model(functions);
    const Embedder embedder(model.get());
    for (std::int32_t count = 1; count <= 11; ++count) {
      std::vector<EncoderInput> inputs;
      std::vector<float> expected;
      for (std::int32_t i = 0; i < count; ++i) {
        const bool longer = i % 3 == 0;
        inputs.push_back({longer ? std::vector<std::int32_t>{i, 2, 2, 2} : std::vector<std::int32_t>{i, 1}, {}});
        const float tokens = longer ? 4 : 2;
        expected.insert(expected.end(), {static_cast<float>(i + (longer ? 6 : 1)), tokens, tokens});
      }
      EXPECT_EQ(embedder.embed(inputs), expected) << functions << ' ' << count;
    }
  }
}

TEST(Embedder, SeesAndPoolsNoPadding) {
  const CountingModel model;
  const std::vector<EncoderInput> inputs{{{9, 9, 5, 6}, {}, {0, 0, 1, 1}}, {{9, 5, 6}, {0, 0, 1}, {0, 1, 1}}};
  EXPECT_THAT(Embedder(model.get()).embed(inputs), testing::ElementsAre(11, 2, 2, 6, 1, 2));
  EXPECT_THAT(error({{1, 2}, {}, {1}}), HasSubstr("input 1: attention_mask has 1 entries for 2 tokens"));
  EXPECT_THAT(error({{1, 2}, {}, {0, 0}}), HasSubstr("nothing but padding"));
  EXPECT_THAT(error({{1, 2}, {1, 1}, {0, 1}}), HasSubstr("token 0 is padding"));
}

TEST(Embedder, NeedsEncode) {
  const CountingModel model("decode");
  EXPECT_THROW(Embedder{model.get()}, Error);
}

}  // namespace
}  // namespace d2c::host
