#include "host/verify/transcript.hpp"

#include "host/inference/sampler.hpp"
#include "tests/unit/inference/counting_model.hpp"

#include <gtest/gtest.h>

namespace d2c::host {
namespace {

using Tokens = std::vector<std::int32_t>;

/// What the counting model says to a prompt.
Tokens greedy(Tokens tokens, std::size_t count) {
  Tokens answer;
  for (std::size_t i = 0; i < count; ++i) {
    answer.push_back(next_after(tokens));
    tokens.push_back(answer.back());
  }
  return answer;
}

TEST(Follow, KeepsToAReferenceThatAgrees) {
  const CountingModel model;
  Session session(model.get());
  const Tokens prompt{1, 2, 3}, answer = greedy(prompt, 5);
  Tokens likeliest;
  const Transcript t = follow(session, prompt, answer, [&](std::size_t row, auto logits) {
    EXPECT_EQ(row, likeliest.size());
    likeliest.push_back(argmax(logits));
  });
  EXPECT_EQ(t.tokens, answer);
  EXPECT_EQ(t.common, 5);
  EXPECT_EQ(likeliest, greedy(prompt, 6));
  EXPECT_EQ(t.decode_ms.size(), 5);
  EXPECT_EQ(t.kv.occupied, 8);
}

TEST(Follow, GoesOnAloneWhereTheReferenceSaysSomethingElse) {
  const CountingModel model;
  Session session(model.get());
  const Tokens prompt{1, 2, 3};
  Tokens answer = greedy(prompt, 5);
  answer[2] = (answer[2] + 1) % 16;
  Tokens likeliest;
  const Transcript t =
      follow(session, prompt, answer, [&](std::size_t, auto logits) { likeliest.push_back(argmax(logits)); });
  EXPECT_EQ(t.common, 2);
  EXPECT_EQ(t.tokens, greedy(prompt, 5));
  // The rows are those of the reference's own answer.
  Tokens fed{1, 2, 3, answer[0], answer[1], answer[2]};
  EXPECT_EQ(likeliest[3], next_after(fed));
}

TEST(Follow, MayHaveNothingToFollow) {
  const CountingModel model;
  Session session(model.get());
  int rows = 0;
  const Transcript t = follow(session, Tokens{1}, {}, [&](std::size_t, auto) { ++rows; });
  EXPECT_EQ(rows, 1);
  EXPECT_TRUE(t.tokens.empty());
}

}  // namespace
}  // namespace d2c::host
