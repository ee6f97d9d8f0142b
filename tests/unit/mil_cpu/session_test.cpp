// Sessions of a small decoder: states, several of them at once, and that what is fused computes the same.
#include "libs/mil_cpu/runner.hpp"
#include "tests/unit/mil_cpu/sample_decoder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <thread>

namespace d2c::mil_cpu::test {
namespace {

using testing::HasSubstr;

const std::vector<std::int32_t> kTokens{3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
const std::vector<std::int32_t> kOthers{2, 7, 1, 8, 2, 8, 1, 8, 2, 8};
using Logits = std::vector<std::vector<float>>;

Logits feed(Runner& runner, const SampleShape& shape, const std::vector<std::int32_t>& tokens) {
  const auto state = runner.make_state();
  return feed(runner, *state, shape, tokens);
}

float furthest(const Logits& a, const Logits& b) {
  float most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t k = 0; k < a[i].size(); ++k) most = std::max(most, std::abs(a[i][k] - b[i][k]));
  return most;
}

std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::usage);
    return e.what();
  }
  return "accepted";
}

struct Variant {
  bool palettes, split;
};

class Fused : public testing::TestWithParam<Variant> {};

TEST_P(Fused, AndPlainExecutionAgree) {
  SampleShape shape;
  shape.palettes = GetParam().palettes;
  shape.split_states = GetParam().split;
  const auto package = sample_decoder(shape);
  RunnerOptions plain;
  plain.fuse = false;
  const Logits expected = feed(*open_runner(package, plain), shape, kTokens);
  const Logits got = feed(*open_runner(package, {}), shape, kTokens);
  EXPECT_GT(std::abs(expected.back()[0]), 1e-3F);
  EXPECT_LT(furthest(got, expected), 2e-3F);  // outputs are fp16
}

INSTANTIATE_TEST_SUITE_P(Weights, Fused,
                         testing::Values(Variant{false, false}, Variant{true, false}, Variant{true, true}));

TEST(Precisions, StayCloseToEachOther) {
  SampleShape shape;
  shape.palettes = true;
  const auto package = sample_decoder(shape);
  const Logits reference = feed(*open_runner(package, {Precision::fp32}), shape, kTokens);
  EXPECT_LT(furthest(feed(*open_runner(package, {Precision::fp16}), shape, kTokens), reference), 2e-2F);
  EXPECT_LT(furthest(feed(*open_runner(package, {Precision::fast}), shape, kTokens), reference), 2e-1F);
}

TEST(Sessions, ThreadCountDoesNotChangeTokens) {
  const SampleShape shape;
  const auto package = sample_decoder(shape);
  RunnerOptions one, three;
  one.threads = 1;
  three.threads = 3;
  EXPECT_LT(
      furthest(feed(*open_runner(package, one), shape, kTokens), feed(*open_runner(package, three), shape, kTokens)),
      1e-3F);
}

TEST(Sessions, AChunkEqualsItsTokensOneByOne) {
  SampleShape shape;
  const auto package = sample_decoder(shape);
  const auto runner = open_runner(package, {});
  const Logits chunked = feed(*runner, shape, kTokens);
  const auto state = runner->make_state();
  std::vector<float> last;
  for (std::size_t i = 0; i < kTokens.size(); ++i)
    last = numbers(DType::f16,
                   call(*runner, "decode", state.get(),
                        {{"input_ids", Constant::of<std::int32_t>(DType::i32, {1, 1}, std::span(&kTokens[i], 1))},
                         {"position", Constant::i32s({static_cast<std::int32_t>(i)})}})["logits"]);
  EXPECT_LT(furthest({last}, {chunked.back()}), 2e-3F);
}

TEST(Sessions, WhatLiesBeyondThePositionIsNeverSeen) {
  const SampleShape shape;
  const auto runner = open_runner(sample_decoder(shape), {});
  const Logits clean = feed(*runner, shape, kTokens);
  const auto state = runner->make_state();
  const Buffer cache = state->buffer("kv_cache");
  for (std::size_t i = 0; i < cache.data.size(); i += 2) cache.data[i + 1] = std::byte{0x50};  // 32 in fp16
  EXPECT_EQ(feed(*runner, *state, shape, kTokens), clean);
}

TEST(Sessions, ATokenWritesItsOwnRowsOnly) {
  const SampleShape shape;
  const auto runner = open_runner(sample_decoder(shape), {});
  const auto state = runner->make_state();
  (void)feed(*runner, *state, shape, kTokens);
  const Buffer cache = state->buffer("kv_cache");
  ASSERT_EQ(cache.data.size(), static_cast<std::size_t>(2 * shape.kv_heads * shape.context * shape.head_dim * 2));
  const std::size_t row = static_cast<std::size_t>(shape.head_dim) * 2;
  for (std::size_t at = 0; at < cache.data.size(); at += row) {
    const auto bytes = cache.data.subspan(at, row);
    const bool used = std::ranges::any_of(bytes, [](std::byte b) { return b != std::byte{0}; });
    EXPECT_EQ(used, at / row % static_cast<std::size_t>(shape.context) < kTokens.size()) << at / row;
  }
}

TEST(Sessions, SeveralAtOnceGiveTheTokensOfEachAlone) {
  SampleShape shape;
  shape.palettes = true;
  RunnerOptions options;
  options.threads = 2;
  const auto runner = open_runner(sample_decoder(shape), options);
  const Logits first = feed(*runner, shape, kTokens), second = feed(*runner, shape, kOthers);
  std::atomic<int> equal = 0;
  std::vector<std::thread> sessions;
  for (int i = 0; i < 4; ++i)
    sessions.emplace_back([&, i] {
      for (int repeat = 0; repeat < 5; ++repeat)
        equal += feed(*runner, shape, i % 2 ? kTokens : kOthers) == (i % 2 ? first : second) ? 1 : 0;
    });
  for (std::thread& t : sessions) t.join();
  EXPECT_EQ(equal, 20);
}

TEST(Sessions, OneStateServesOneCallAtATime) {
  const SampleShape shape;
  const auto runner = open_runner(sample_decoder(shape), {});
  const auto state = runner->make_state();
  std::atomic<int> served = 0, refused = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 20; ++repeat) {
        try {
          (void)feed(*runner, *state, shape, kTokens);
          ++served;
        } catch (const Error& e) {
          EXPECT_THAT(e.what(), HasSubstr("already using this state"));
          ++refused;
        }
      }
    });
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(served + refused, 80);
}

TEST(Calls, AreRefusedWithWhatIsWrong) {
  const SampleShape shape;
  const auto package = sample_decoder(shape);
  const auto runner = open_runner(package, {}), other = open_runner(package, {});
  const auto state = runner->make_state(), foreign = other->make_state();
  const Constant one = Constant::i32s({1}),
                 id = Constant::of<std::int32_t>(DType::i32, {1, 1}, std::span(kTokens).first(1));
  const std::map<std::string, Constant> good{{"input_ids", id}, {"position", one}};
  EXPECT_THAT(refusal([&] { (void)call(*runner, "encode", state.get(), good); }), HasSubstr("no function 'encode'"));
  EXPECT_THAT(refusal([&] { (void)call(*runner, "decode", nullptr, good); }), HasSubstr("needs a state"));
  EXPECT_THAT(refusal([&] { (void)call(*runner, "decode", foreign.get(), good); }), HasSubstr("needs a state"));
  EXPECT_THAT(refusal([&] { (void)call(*runner, "decode", state.get(), {{"input_ids", id}}); }), HasSubstr("takes 2"));
  EXPECT_THAT(refusal([&] {
                (void)call(*runner, "decode", state.get(), {{"input_ids", id}, {"pos", one}});
              }),
              HasSubstr("'position'"));
  EXPECT_THAT(refusal([&] {
                (void)call(*runner, "decode", state.get(), {{"input_ids", id}, {"position", Constant::i32s({1, 2})}});
              }),
              HasSubstr("4 bytes, not 8"));
  EXPECT_THAT(refusal([&] { (void)state->buffer("cache"); }), HasSubstr("no state 'cache'"));
}

TEST(Descriptions, TellSizesAndMetadata) {
  const SampleShape shape;
  const auto runner = open_runner(sample_decoder(shape), {});
  const Value& d = runner->describe();
  EXPECT_EQ(d.at("metadata").at("d2c.sample").as_text(), "{}");
  EXPECT_EQ(d.at("state_bytes").as_int(), 2 * shape.kv_heads * shape.context * shape.head_dim * 2);
  EXPECT_GT(d.at("weight_bytes").as_int(), 0);
  EXPECT_GT(d.at("scratch_bytes").at("decode").as_int(), 0);
  EXPECT_LT(d.at("scratch_bytes").at("decode").as_int(), 1 << 20);
  ASSERT_EQ(runner->signatures().size(), 2u);
  EXPECT_EQ(runner->signatures()[0].function, "init");  // the default function comes first
}

}  // namespace
}  // namespace d2c::mil_cpu::test
