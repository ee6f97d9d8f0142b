#include "host/inference/chat.hpp"

#include "host/stop/stop.hpp"
#include "tests/unit/inference/counting_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Tokens = std::vector<std::int32_t>;

/// A message is its letters ("a" is 1), the assistant's turn begins with 15.
class Letters final : public ChatText {
 public:
  Tokens prompt(std::span<const Message> messages) const override {
    Tokens tokens;
    for (const Message& m : messages) {
      if (m.role == "assistant") tokens.push_back(15);
      for (const char c : m.content) tokens.push_back(c - 'a' + 1);
    }
    tokens.push_back(15);
    return tokens;
  }
  std::string text(std::span<const std::int32_t> tokens) const override {
    std::string text;
    for (const std::int32_t t : tokens) text += static_cast<char>('a' + t - 1);
    return text;
  }
};

class ChatTest : public testing::Test {
 protected:
  Chat chat(std::int64_t max_new_tokens, Overflow overflow = Overflow::error, const std::string& system = "") {
    ChatOptions options;
    options.system = system;
    options.overflow = overflow;
    options.max_new_tokens = max_new_tokens;
    return {session_, text_, options};
  }
  static Reply say(Chat& chat, const std::string& text) {
    return chat.reply(text, [](std::int32_t) {});
  }

  CountingModel model_;
  Session session_{model_.get()};
  Letters text_;
};

TEST_F(ChatTest, AnswersTokenByToken) {
  Chat c = chat(2);
  Tokens streamed;
  const Reply reply = c.reply("ab", [&](std::int32_t t) { streamed.push_back(t); });
  Tokens all{1, 2, 15};
  all.push_back(next_after(all));
  all.push_back(next_after(all));
  EXPECT_EQ(reply.tokens, Tokens(all.begin() + 3, all.end()));
  EXPECT_EQ(streamed, reply.tokens);
  EXPECT_EQ(reply.finish, Finish::length);
  EXPECT_EQ(reply.prompt_tokens, 3);
  EXPECT_EQ(c.messages().back().content, reply.text);
}

TEST_F(ChatTest, EndsAtAStopTokenAndKeepsItOut) {
  ChatOptions options;
  options.stop_tokens = {next_after(Tokens{1, 2, 15})};
  Chat c(session_, text_, options);
  const Reply reply = say(c, "ab");
  EXPECT_EQ(reply.finish, Finish::stop_token);
  EXPECT_THAT(reply.tokens, ElementsAre());
}

TEST_F(ChatTest, ReusesTheCacheOfEarlierTurns) {
  Chat c = chat(2);
  EXPECT_EQ(say(c, "ab").reused_tokens, 0);
  const Reply second = say(c, "c");
  EXPECT_EQ(second.prompt_tokens, 7);
  EXPECT_EQ(second.reused_tokens, 5);
  // What it answers is what a fresh session would.
  Tokens all{1, 2, 15};
  for (int i = 0; i < 2; ++i) all.push_back(next_after(all));
  all.insert(all.end(), {3, 15});
  EXPECT_EQ(second.tokens.front(), next_after(all));
}

TEST_F(ChatTest, FeedsOneTokenAtLeastWhenEverythingIsCached) {
  Chat c = chat(1);
  (void)say(c, "abc");
  c.reset();
  const Reply again = say(c, "abc");
  EXPECT_EQ(again.reused_tokens, 3);
  EXPECT_EQ(again.tokens.front(), next_after(Tokens{1, 2, 3, 15}));
}

TEST_F(ChatTest, RefusesAMessageThatDoesNotFitAndForgetsIt) {
  Chat c = chat(4);
  (void)say(c, "a");
  try {
    (void)say(c, "abcdefghijkl");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input);
    EXPECT_THAT(e.what(), HasSubstr("--overflow shift"));
  }
  EXPECT_EQ(c.messages().size(), 2U);
}

TEST_F(ChatTest, EndsAReplyWhereTheContextEnds) {
  Chat c = chat(100);
  const Reply reply = say(c, "abcdefgh");
  EXPECT_EQ(reply.finish, Finish::context);
  EXPECT_EQ(reply.tokens.size(), kCountingContext - 9 + 1U);
}

TEST_F(ChatTest, ForgetsTheOldestTurnsAndKeepsTheSystemPrompt) {
  Chat c = chat(2, Overflow::shift, "e");
  (void)say(c, "ab");
  const Reply second = say(c, "cd");
  EXPECT_EQ(second.evicted_tokens, 0);
  const Reply third = say(c, "fg");
  EXPECT_EQ(third.evicted_tokens, 5);
  EXPECT_EQ(third.reused_tokens, 1);
  EXPECT_EQ(c.messages().front().content, "e");
  EXPECT_EQ(c.evicted_tokens(), third.evicted_tokens);
}

TEST_F(ChatTest, GoesOnWithAReplyAfterForgettingATurn) {
  Chat c = chat(4, Overflow::shift);
  (void)say(c, "ab");               // 3 + 4 tokens
  const Reply reply = say(c, "c");  // 9, and a reserve of 3
  EXPECT_EQ(reply.finish, Finish::length);
  EXPECT_EQ(reply.tokens.size(), 4U);
  EXPECT_EQ(reply.evicted_tokens, 7);
  EXPECT_THAT(c.messages(), testing::SizeIs(2));
}

TEST_F(ChatTest, RefusesWhatDoesNotFitEvenAlone) {
  Chat c = chat(4, Overflow::shift);
  (void)say(c, "ab");
  EXPECT_THROW((void)say(c, "abcdefghijklmn"), Error);
  EXPECT_THAT(c.messages(), testing::SizeIs(2));
}

TEST_F(ChatTest, KeepsAnInterruptedReplyAndItsCache) {
  Chat c = chat(6);
  const Reply reply = c.reply("ab", [](std::int32_t) { stop::request(2); });
  stop::request(0);
  EXPECT_EQ(reply.finish, Finish::interrupted);
  EXPECT_EQ(reply.tokens.size(), 1U);
  EXPECT_THAT(c.messages(), testing::SizeIs(2));
  EXPECT_EQ(say(c, "c").reused_tokens, 3);
}

TEST_F(ChatTest, ForgetsAMessageInterruptedBeforeItsAnswer) {
  Chat c = chat(6);
  stop::request(2);
  EXPECT_EQ(say(c, "ab").finish, Finish::interrupted);
  stop::request(0);
  EXPECT_THAT(c.messages(), testing::IsEmpty());
}

}  // namespace
}  // namespace d2c::host
