#include "plugins/quant_palettize4/k_link_path.hpp"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace d2c::palettize4 {
namespace {

struct Weighted {
  double value, count;
};

Cuts cuts_of(const std::vector<Weighted>& list) {
  Cuts cuts;
  cuts.resize(list.size() + 1);
  for (std::size_t i = 0; i < list.size(); ++i) {
    cuts.weight[i + 1] = cuts.weight[i] + list[i].count;
    cuts.sum[i + 1] = cuts.sum[i] + list[i].count * list[i].value;
  }
  return cuts;
}

double run_error(const std::vector<Weighted>& list, std::size_t first, std::size_t last) {
  double weight = 0, sum = 0, error = 0;
  for (std::size_t i = first; i < last; ++i) {
    weight += list[i].count;
    sum += list[i].count * list[i].value;
  }
  for (std::size_t i = first; i < last; ++i) {
    const double d = list[i].value - sum / weight;
    error += list[i].count * d * d;
  }
  return error;
}

double path_error(const std::vector<Weighted>& list, std::span<const std::uint32_t> cuts) {
  double error = 0;
  for (std::size_t i = 1; i < cuts.size(); ++i) error += run_error(list, cuts[i - 1], cuts[i]);
  return error;
}

/// The least error over all partitions, by the quadratic recurrence.
double best_error(const std::vector<Weighted>& list, std::size_t links) {
  std::vector<double> best(list.size() + 1, std::numeric_limits<double>::infinity());
  best[0] = 0;
  for (std::size_t k = 0; k < links; ++k) {
    std::vector<double> next(list.size() + 1, std::numeric_limits<double>::infinity());
    for (std::size_t to = 1; to <= list.size(); ++to)
      for (std::size_t from = 0; from < to; ++from)
        next[to] = std::min(next[to], best[from] + run_error(list, from, to));
    best = next;
  }
  return best.back();
}

std::vector<Weighted> random_list(std::mt19937& random, std::size_t size, unsigned grid, unsigned counts) {
  std::vector<Weighted> list;
  double value = -5;
  for (std::size_t i = 0; i < size; ++i) {
    value += 0.25 * static_cast<double>(1 + random() % grid);
    list.push_back({value, static_cast<double>(1 + random() % counts)});
  }
  return list;
}

void expect_optimal(const std::vector<Weighted>& list, double first_multiplier) {
  for (std::size_t links = 1; links < list.size(); ++links) {
    const Cuts all = cuts_of(list);
    double multiplier = first_multiplier;
    KLinkPath path;
    const auto cuts = path.find(all, links, multiplier);
    ASSERT_EQ(cuts.size(), links + 1);
    ASSERT_EQ(cuts.front(), 0u);
    ASSERT_EQ(cuts.back(), list.size());
    ASSERT_TRUE(std::is_sorted(cuts.begin(), cuts.end(), std::less_equal<>()));
    EXPECT_NEAR(path_error(list, cuts), best_error(list, links), 1e-9) << links << " links of " << list.size();
  }
}

TEST(KLinkPath, MatchesTheQuadraticRecurrenceOnRandomLists) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 60; ++trial) expect_optimal(random_list(random, 3 + random() % 25, 9, 7), 0.5);
}

TEST(KLinkPath, IsOptimalWhereNoMultiplierYieldsTheWantedNumber) {
  std::mt19937 random(12);
  for (std::size_t size = 3; size < 24; ++size) expect_optimal(random_list(random, size, 1, 1), 0.5);
}

TEST(KLinkPath, FindsItsWayFromAnyMultiplier) {
  std::mt19937 random(13);
  const auto list = random_list(random, 30, 5, 5);
  for (const double multiplier : {0., 1e-300, 1e-9, 1., 1e9, 1e300}) expect_optimal(list, multiplier);
}

TEST(KLinkPath, HasLessErrorWithEachFurtherLink) {
  std::mt19937 random(14);
  const auto list = random_list(random, 200, 9, 50);
  KLinkPath path;
  double previous = std::numeric_limits<double>::infinity(), multiplier = 1;
  for (std::size_t links = 1; links < list.size(); ++links) {
    const Cuts all = cuts_of(list);
    const double error = path_error(list, path.find(all, links, multiplier));
    EXPECT_LT(error, previous);
    previous = error;
  }
}

TEST(KLinkPath, IsTheSameOnEveryTarget) {
  std::mt19937 random(15);
  const Cuts all = cuts_of(random_list(random, 5000, 4, 9));
  for (const std::size_t links : {2u, 16u, 256u}) {
    std::vector<std::uint32_t> expected;
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      KLinkPath path;
      double multiplier = 1;
      const auto found = path.find(all, links, multiplier);
      if (expected.empty()) expected.assign(found.begin(), found.end());
      EXPECT_TRUE(std::equal(found.begin(), found.end(), expected.begin(), expected.end())) << hwy::TargetName(target);
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

}  // namespace
}  // namespace d2c::palettize4
