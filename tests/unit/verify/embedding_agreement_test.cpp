#include "host/verify/embedding_agreement.hpp"

#include <d2c/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace d2c::host {
namespace {

using testing::DoubleNear;
using testing::Each;
using Values = std::vector<float>;

TEST(EmbeddingAgreement, IsCompleteBetweenTheSameEmbeddings) {
  const Values rows{1, 0, 2, 0, 3, 1, 5, 1, 1};
  const EmbeddingAgreement a = compare({rows, 3}, {rows, 3});
  EXPECT_THAT(a.cosines, Each(DoubleNear(1, 1e-12)));
  EXPECT_THAT(a.centred_cosines, Each(DoubleNear(1, 1e-12)));
  EXPECT_DOUBLE_EQ(*a.rank_correlation, 1);
}

TEST(EmbeddingAgreement, IsNotFooledByWhatAllEmbeddingsHaveInCommon) {
  // A large common part hides that the rest has nothing to do with the reference.
  const Values reference{100, 1, 0, 100, 0, 1, 100, 0, 0, 100, 1, 1};
  const Values embeddings{100, 0, 1, 100, 1, 0, 100, 1, 1, 100, 0, 0};
  const EmbeddingAgreement a = compare({reference, 3}, {embeddings, 3});
  for (const double cosine : a.cosines) EXPECT_GT(cosine, 0.99);
  for (const double cosine : a.centred_cosines) EXPECT_LT(cosine, 0.5);
}

TEST(EmbeddingAgreement, FindsNothingInEmbeddingsThatAreAllTheSame) {
  const Values reference{1, 0, 0, 1, 1, 1}, same{1, 1, 1, 1, 1, 1};
  const EmbeddingAgreement a = compare({reference, 2}, {same, 2});
  EXPECT_THAT(a.centred_cosines, Each(0));
  EXPECT_EQ(a.rank_correlation, 0);
}

TEST(EmbeddingAgreement, NeedsSomethingToCentreAndPairsToRank) {
  const Values one{1, 2}, two{1, 2, 2, 1};
  EXPECT_TRUE(compare({one, 2}, {one, 2}).centred_cosines.empty());
  EXPECT_FALSE(compare({two, 2}, {two, 2}).rank_correlation);
}

TEST(EmbeddingAgreement, RefusesSetsOfDifferentShape) {
  const Values four{1, 2, 3, 4};
  EXPECT_THROW((void)compare({four, 2}, {four, 4}), Error);
}

TEST(RankCorrelation, CountsOrderAlone) {
  const std::vector<double> a{1, 2, 3, 4}, b{1, 10, 100, 1000}, reversed{4, 3, 2, 1};
  EXPECT_DOUBLE_EQ(rank_correlation(a, b), 1);
  EXPECT_DOUBLE_EQ(rank_correlation(a, reversed), -1);
}

TEST(RankCorrelation, GivesTiesTheirMeanRank) {
  const std::vector<double> a{1, 2, 2, 3}, b{1, 2, 3, 4};
  EXPECT_NEAR(rank_correlation(a, b), 0.9486832980505138, 1e-12);
}

TEST(Cosine, OfNothingIsZero) { EXPECT_EQ(cosine(Values{0, 0}, Values{1, 2}), 0); }

}  // namespace
}  // namespace d2c::host
