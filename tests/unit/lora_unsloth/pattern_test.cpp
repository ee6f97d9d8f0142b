#include "plugins/lora_unsloth/pattern.hpp"

#include <d2c/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::lora {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Pattern, MatchesOnlyTheWholeName) {
  const Pattern p(".*\\.self_attn\\.(q|v)_proj", "config");
  EXPECT_TRUE(p.matches_whole("model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(p.matches_whole("model.layers.0.self_attn.q_proj.base"));
}

TEST(Pattern, TriesEveryAlternativeForAWholeMatch) { EXPECT_TRUE(Pattern("a|ab", "config").matches_whole("ab")); }

TEST(Pattern, GivesTheFirstGroupOfAMatchFromTheStart) {
  EXPECT_EQ(Pattern(".*\\.layers\\.(\\d+)\\.", "config").match_group("model.layers.12.mlp"), "12");
  EXPECT_EQ(Pattern("layers", "config").match_group("model.layers.12"), std::nullopt);
}

TEST(Pattern, RefusesWhatDoesNotCompile) { EXPECT_THROW(Pattern("(unclosed", "config"), Error); }

TEST(Pattern, StopsACatastrophicExpression) {
  const Pattern p("(a+)+[bc]", "config");
  EXPECT_THROW((void)p.matches_whole(std::string(200, 'a')), Error);
}

TEST(NameList, MatchesWholeNamesAndSuffixesAfterADot) {
  const NameList list({"q_proj", "self_attn.q_proj"});
  EXPECT_THAT(list.matches("model.layers.0.self_attn.q_proj"), ElementsAre("self_attn.q_proj", "q_proj"));
  EXPECT_THAT(list.matches("model.layers.0.self_attn.xq_proj"), IsEmpty());
  EXPECT_TRUE(list.holds_exactly("q_proj"));
}

}  // namespace
}  // namespace d2c::lora
