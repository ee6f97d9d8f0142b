#include "host/inference/kv_usage.hpp"

#include <gtest/gtest.h>

namespace d2c::host {
namespace {

// Two layers, two heads, three tokens of two values.
const TensorType kType{DType::f16, {2, 2, 3, 2}};

TEST(KvUsage, CountsATokenThatAnyLayerOrHeadHolds) {
  std::vector<std::uint16_t> cache(24, 0);
  cache[1] = 1;       // layer 0, head 0, token 0
  cache[12 + 8] = 1;  // layer 1, head 1, token 1
  const CacheView view{kType, std::as_bytes(std::span(cache))};
  const KvUsage usage = measure_kv({&view, 1}, 1);
  EXPECT_EQ(usage.occupied, 1);
  EXPECT_EQ(usage.stale, 1);
  EXPECT_EQ(usage.allocated_bytes, 48);
  EXPECT_EQ(usage.bytes_per_token, 16);
}

TEST(KvUsage, TellsWhenTheCacheHoldsLessThanTheSessionSays) {
  const std::vector<std::uint16_t> cache(24, 0);
  const CacheView view{kType, std::as_bytes(std::span(cache))};
  EXPECT_FALSE(measure_kv({&view, 1}, 2).consistent());
  EXPECT_TRUE(measure_kv({&view, 1}, 0).consistent());
}

TEST(KvUsage, AddsUpSeveralCaches) {
  std::vector<std::uint16_t> keys(24, 0), values(24, 0);
  keys[0] = 1;
  values[2] = 1;
  const CacheView views[] = {{kType, std::as_bytes(std::span(keys))}, {kType, std::as_bytes(std::span(values))}};
  const KvUsage usage = measure_kv(views, 2);
  EXPECT_EQ(usage.occupied, 2);
  EXPECT_EQ(usage.bytes_per_token, 32);
}

TEST(KvUsage, OfNothingIsNothing) { EXPECT_EQ(measure_kv({}, 0).allocated_bytes, 0); }

}  // namespace
}  // namespace d2c::host
