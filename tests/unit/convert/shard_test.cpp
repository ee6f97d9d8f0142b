#include "host/convert/shard.hpp"

#include <d2c/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace d2c::host {
namespace {

std::vector<std::unique_ptr<PlannedWeight>> weights_of(const std::vector<std::int64_t>& rows) {
  std::vector<std::unique_ptr<PlannedWeight>> weights;
  for (const std::int64_t r : rows) {
    weights.push_back(std::make_unique<PlannedWeight>());
    weights.back()->shape = {r, 64};
  }
  return weights;
}

TEST(Shard, ReadsAndWritesItsText) {
  EXPECT_EQ(Shard::parse("2/4").text(), "2/4");
  for (const char* bad : {"", "/", "2", "0/2", "3/2", "1/0", "1/2/3", "-1/2", "1/x", " 1/2", "1/99999999999"})
    EXPECT_THROW(Shard::parse(bad), Error) << bad;
}

TEST(Shard, KeepsItsPartBesideThePackage) {
  EXPECT_EQ(Shard::parse("2/4").part_of("/tmp/out.mlpackage"), "/tmp/out.mlpackage.shard-2-of-4");
  EXPECT_EQ(Shard::parse("2/4").part_of("/tmp/out.mlpackage/"), "/tmp/out.mlpackage.shard-2-of-4");
}

TEST(ShareOut, GivesEveryShardAboutAsMuch) {
  std::vector<std::int64_t> rows{128256, 128256};
  for (int layer = 0; layer < 32; ++layer) rows.insert(rows.end(), {4096, 1024, 1024, 4096, 14336, 14336, 14336, 1, 1});
  const auto weights = weights_of(rows);
  for (const unsigned count : {1u, 2u, 3u, 7u}) {
    std::vector<std::int64_t> load(count);
    const std::vector<unsigned> shard = share_out(weights, count);
    for (std::size_t i = 0; i < shard.size(); ++i) load.at(shard[i] - 1) += rows[i];
    const auto [least, most] = std::minmax_element(load.begin(), load.end());
    EXPECT_LT(static_cast<double>(*most - *least), 0.05 * static_cast<double>(*most)) << count << " shards";
  }
}

TEST(ShareOut, MayLeaveShardsWithoutWork) {
  EXPECT_EQ(share_out(weights_of({5, 9}), 3), (std::vector<unsigned>{2, 1}));
}

}  // namespace
}  // namespace d2c::host
