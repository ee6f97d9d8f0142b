#include "host/recipe/nearest.hpp"

#include <gtest/gtest.h>

namespace d2c::host {
namespace {

TEST(EditDistance, CountsEditsAndSwaps) {
  EXPECT_EQ(edit_distance("bits", "bits"), 0U);
  EXPECT_EQ(edit_distance("bits", "bitz"), 1U);
  EXPECT_EQ(edit_distance("bits", "btis"), 1U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(EditDistance, PutsEndlessNamesFarAway) { EXPECT_GT(edit_distance(std::string(100000, 'a'), "a"), 1000U); }

TEST(DidYouMean, NamesTheNearestOrNobody) {
  const std::vector<std::string> names = {"bits", "group_size"};
  EXPECT_EQ(did_you_mean("bitz", names), "; did you mean 'bits'?");
  EXPECT_EQ(did_you_mean("grp_size", names), "; did you mean 'group_size'?");
  EXPECT_EQ(did_you_mean("elephant", names), "");
}

}  // namespace
}  // namespace d2c::host
