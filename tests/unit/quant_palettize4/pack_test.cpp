#include "plugins/quant_palettize4/pack.hpp"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <random>
#include <vector>

namespace d2c::palettize4 {
namespace {

constexpr int kWidths[] = {1, 2, 3, 4, 6, 8};

std::vector<std::uint8_t> random_indices(int bits, std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> out(count);
  for (auto& i : out) i = static_cast<std::uint8_t>(random() % (1u << bits));
  return out;
}

/// The definition: element i occupies bits [i * bits, (i + 1) * bits), least significant first.
std::vector<std::uint8_t> packed_bit_by_bit(int bits, const std::vector<std::uint8_t>& indices) {
  std::vector<std::uint8_t> out((indices.size() * static_cast<std::size_t>(bits) + 7) / 8);
  std::size_t at = 0;
  for (const std::uint8_t index : indices)
    for (int b = 0; b < bits; ++b, ++at)
      out[at / 8] = static_cast<std::uint8_t>(out[at / 8] | ((index >> b & 1) << at % 8));
  return out;
}

TEST(PackIndices, FollowsTheDefinitionOnEveryTarget) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const int bits : kWidths) {
      for (const std::size_t count : {8u, 16u, 40u, 1000u, 4096u}) {
        const auto indices = random_indices(bits, count, 1);
        std::vector<std::uint8_t> out(count * static_cast<std::size_t>(bits) / 8);
        pack_indices(bits, indices.data(), count, out.data());
        EXPECT_EQ(out, packed_bit_by_bit(bits, indices)) << bits << " bits, " << hwy::TargetName(target);
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(IndexStream, JoinsRunsOfAnyLength) {
  std::mt19937 random(2);
  for (const int bits : kWidths) {
    for (unsigned trial = 0; trial < 50; ++trial) {
      const auto indices = random_indices(bits, random() % 300, trial);
      std::vector<std::uint8_t> out(packed_bit_by_bit(bits, indices).size() + 1, 0xa5);
      IndexStream stream(bits, out.data());
      for (std::size_t at = 0; at < indices.size();) {
        const std::size_t run = std::min<std::size_t>(random() % 21, indices.size() - at);
        stream.append({indices.data() + at, run});
        at += run;
      }
      stream.finish();
      EXPECT_EQ(out.back(), 0xa5) << "wrote past the end";
      out.pop_back();
      EXPECT_EQ(out, packed_bit_by_bit(bits, indices)) << bits << " bits";
    }
  }
}

}  // namespace
}  // namespace d2c::palettize4
