#include "host/inference/session.hpp"

#include "host/inference/sampler.hpp"
#include "host/stop/stop.hpp"
#include "tests/unit/inference/counting_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace d2c::host {
namespace {

using testing::HasSubstr;
using Tokens = std::vector<std::int32_t>;

Tokens counting(std::size_t count) {
  Tokens tokens(count);
  std::iota(tokens.begin(), tokens.end(), 1);
  return tokens;
}

std::string error(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input) << e.what();
    return e.what();
  }
  return "no error";
}

TEST(Session, GivesTheLogitsOfTheLastTokenHoweverManyAreFed) {
  const CountingModel model;
  for (std::size_t count = 1; count <= kCountingContext; ++count) {
    Session session(model.get());
    EXPECT_EQ(argmax(session.feed(counting(count))), next_after(counting(count))) << count;
    EXPECT_EQ(session.position(), static_cast<std::int64_t>(count));
  }
}

TEST(Session, GivesTheSameHoweverTheTokensAreCut) {
  const CountingModel model;
  const Tokens all = counting(kCountingContext);
  for (std::size_t cut = 1; cut < all.size(); ++cut) {
    Session session(model.get());
    (void)session.feed(std::span(all).first(cut));
    EXPECT_EQ(argmax(session.feed(std::span(all).subspan(cut))), next_after(all)) << cut;
  }
}

TEST(Session, TellsWhatFollowsEachToken) {
  const Tokens all = counting(kCountingContext);
  for (const char* functions : {"init,decode", "decode", "init", "score", "score,decode"}) {
    const CountingModel model(functions);
    Session session(model.get());
    // Without `decode` an `init` cannot reach the last tokens of the context one at a time.
    const std::size_t count = std::string(functions) == "init" ? all.size() - 3 : all.size();
    Tokens after;
    session.feed_each(std::span(all).first(count), [&](auto logits) { after.push_back(argmax(logits)); });
    ASSERT_EQ(after.size(), count) << functions;
    for (std::size_t i = 0; i < count; ++i)
      EXPECT_EQ(after[i], next_after(std::span(all).first(i + 1))) << functions << " " << i;
    EXPECT_EQ(session.position(), static_cast<std::int64_t>(count));
  }
}

TEST(Session, TakesTheLastValidRowOfAnInitThatGivesAll) {
  const CountingModel model("score,decode");
  for (std::size_t count = 1; count <= kCountingContext; ++count) {
    Session session(model.get());
    EXPECT_EQ(argmax(session.feed(counting(count))), next_after(counting(count))) << count;
  }
}

TEST(Session, NeedsOnlyOneOfInitAndDecode) {
  const CountingModel decode("decode"), init("init");
  EXPECT_EQ(argmax(Session(decode.get()).feed(counting(7))), next_after(counting(7)));
  EXPECT_EQ(argmax(Session(init.get()).feed(counting(7))), next_after(counting(7)));
}

TEST(Session, WithoutDecodeRefusesATailThatNoChunkReaches) {
  const CountingModel model("init");
  Session session(model.get());
  (void)session.feed(counting(9));
  EXPECT_THAT(error([&] { (void)session.feed(Tokens{1}); }), HasSubstr("decode"));
}

TEST(Session, TalksWithTheVariantAskedFor) {
  const CountingModel model("init,decode,other");
  for (const std::size_t count : {1U, 4U, 7U}) {
    Session session(model.get(), "other");
    EXPECT_EQ(argmax(session.feed(counting(count))), (next_after(counting(count)) + 1) % 16) << count;
  }
  EXPECT_THAT(error([&] { Session session(model.get(), "third"); }), HasSubstr("no function 'decode_third'"));
}

TEST(Session, NeedsALanguageModel) {
  const CountingModel encoder("encode"), strange("strange");
  EXPECT_THAT(error([&] { Session session(encoder.get()); }), HasSubstr("no function 'decode', only encode"));
  EXPECT_THAT(error([&] { Session session(strange.get()); }), HasSubstr("'position'"));
}

TEST(Session, RefusesMoreThanTheContextHolds) {
  const CountingModel model;
  Session session(model.get());
  (void)session.feed(counting(10));
  const std::string message = error([&] { (void)session.feed(Tokens{1, 2, 3}); });
  EXPECT_THAT(message, HasSubstr("context of 12"));
  EXPECT_THAT(message, HasSubstr("graph.context"));
  EXPECT_EQ(session.position(), 10);
  EXPECT_NO_THROW((void)session.feed(Tokens{1, 2}));
  EXPECT_EQ(session.remaining(), 0);
}

TEST(Session, RefusesTokensOutsideTheVocabulary) {
  const CountingModel model;
  Session session(model.get());
  for (const Tokens& tokens : {Tokens{16}, Tokens{1, -1}})
    EXPECT_THAT(error([&] { (void)session.feed(tokens); }), HasSubstr("vocabulary of 16"));
  EXPECT_THAT(error([&] { (void)session.feed(Tokens{}); }), HasSubstr("no token"));
  EXPECT_EQ(session.position(), 0);
}

TEST(Session, ForgetsWhatItIsTakenBackFrom) {
  const CountingModel model;
  Session session(model.get());
  (void)session.feed(counting(9));
  session.rewind(3);
  EXPECT_EQ(argmax(session.feed(Tokens{9, 9})), next_after(Tokens{1, 2, 3, 9, 9}));
  EXPECT_THROW(session.rewind(6), Error);
  EXPECT_THROW(session.rewind(-1), Error);
}

TEST(Session, DoesNotDisturbAnother) {
  const CountingModel model;
  Session one(model.get()), two(model.get());
  (void)one.feed(counting(5));
  (void)two.feed(Tokens{7, 7});
  EXPECT_EQ(argmax(one.feed(Tokens{6})), next_after(counting(6)));
  EXPECT_EQ(argmax(two.feed(Tokens{7})), next_after(Tokens{7, 7, 7}));
}

TEST(Session, StopsBetweenCallsWhenAskedTo) {
  const CountingModel model;
  Session session(model.get());
  stop::request(15);
  EXPECT_THROW((void)session.feed(counting(9)), Error);
  stop::request(0);
  EXPECT_EQ(session.position(), 0);
}

TEST(Session, MeasuresItsCache) {
  const CountingModel model;
  Session session(model.get());
  EXPECT_EQ(session.kv_usage().occupied, 0);
  (void)session.feed(counting(6));  // a chunk of four, and one of two with two of padding
  const KvUsage usage = session.kv_usage();
  EXPECT_EQ(usage.context, kCountingContext);
  EXPECT_EQ(usage.allocated_bytes, 2 * kCountingContext * 2);
  EXPECT_EQ(usage.bytes_per_token, 4);
  EXPECT_EQ(usage.occupied, 6);
  EXPECT_EQ(usage.stale, 2);
  EXPECT_TRUE(usage.consistent());
}

}  // namespace
}  // namespace d2c::host
