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

TEST(Embedder, NeedsEncode) {
  const CountingModel model("decode");
  EXPECT_THROW(Embedder{model.get()}, Error);
}

}  // namespace
}  // namespace d2c::host
