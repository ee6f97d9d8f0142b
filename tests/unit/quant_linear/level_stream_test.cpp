#include "plugins/quant_linear/level_stream.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace d2c::linear {
namespace {

/// Appends `levels` in pieces of the given sizes, over and over.
std::vector<std::uint8_t> written(int bits, bool is_signed, std::vector<std::uint8_t> levels,
                                  const std::vector<std::size_t>& pieces) {
  std::vector<std::uint8_t> out((levels.size() * static_cast<std::size_t>(bits) + 7) / 8, 0xee);
  LevelStream stream(bits, is_signed, out.data());
  std::span<const std::uint8_t> left(levels);
  for (std::size_t p = 0; !left.empty(); ++p) {
    const std::size_t size = std::min(pieces[p % pieces.size()], left.size());
    stream.append(left.first(size));
    left = left.subspan(size);
  }
  stream.finish();
  return out;
}

TEST(LevelStream, PutsTheFirstOfTwoLevelsIntoTheLowHalf) {
  EXPECT_EQ(written(4, false, {1, 2, 3, 15}, {4}), (std::vector<std::uint8_t>{0x21, 0xf3}));
}

TEST(LevelStream, StoresSignedLevelsInTwosComplement) {
  EXPECT_EQ(written(4, true, {0, 8, 15, 7}, {4}), (std::vector<std::uint8_t>{0x08, 0xf7}));  // -8, 0, 7, -1
  EXPECT_EQ(written(8, true, {0, 128, 255}, {3}), (std::vector<std::uint8_t>{0x80, 0x00, 0x7f}));
}

TEST(LevelStream, LeavesTheUnusedHalfOfTheLastByteZero) {
  EXPECT_EQ(written(4, true, {8, 9, 7}, {3}), (std::vector<std::uint8_t>{0x10, 0x0f}));
  EXPECT_EQ(written(4, false, {7}, {1}), (std::vector<std::uint8_t>{0x07}));
}

TEST(LevelStream, GivesTheSameBytesHoweverTheLevelsArrive) {
  std::vector<std::uint8_t> levels;
  for (unsigned i = 0; i < 101; ++i) levels.push_back(static_cast<std::uint8_t>(i * 7 % 16));
  for (const int bits : {4, 8})
    for (const std::vector<std::size_t>& pieces : {std::vector<std::size_t>{1}, {2, 3}, {7}, {64, 1}})
      EXPECT_EQ(written(bits, true, levels, pieces), written(bits, true, levels, {levels.size()}));
}

}  // namespace
}  // namespace d2c::linear
