#include "host/executor/tiling.hpp"

#include <d2c/plugin.hpp>

#include <gtest/gtest.h>

namespace {

using d2c::DType;
using d2c::Shape;
using d2c::host::PlaneRange;
using d2c::host::Tiling;

/// A grouped palette as quantizers plan it.
d2c_layout palette(std::int64_t rows, std::int64_t columns, int bits, std::int64_t group, std::int64_t tile_rows) {
  d2c::Layout layout;
  layout.scheme = D2C_SCHEME_PALETTE;
  layout.padded_rows = (rows + group - 1) / group * group;
  layout.tile_rows = tile_rows;
  layout.planes = {{D2C_PLANE_INDICES, {d2c::index_dtype(bits), {layout.padded_rows, columns}}, 1},
                   {D2C_PLANE_LUT, {DType::f16, {layout.padded_rows / group, 1, 1 << bits, 1}}, group}};
  return d2c::abi::to_c(layout);
}

struct Case {
  std::int64_t rows, columns;
  int bits;
  std::int64_t group, tile_rows;
};

class TilingTest : public ::testing::TestWithParam<Case> {};

TEST_P(TilingTest, TilesCoverEveryPlaneWithoutGapOrOverlap) {
  const Case c = GetParam();
  const d2c_layout layout = palette(c.rows, c.columns, c.bits, c.group, c.tile_rows);
  const Shape shape{c.rows, c.columns};
  const Tiling tiling(layout, shape);
  for (std::uint32_t p = 0; p < layout.plane_count; ++p) {
    std::uint64_t end = 0;
    for (std::int64_t t = 0; t < tiling.count(); ++t) {
      const PlaneRange range = tiling.range(p, t);
      EXPECT_EQ(range.offset, end);
      end += range.size;
    }
    EXPECT_EQ(end, static_cast<std::uint64_t>(d2c::TensorType::from_c(layout.planes[p].type).bytes()));
  }
}

TEST_P(TilingTest, RealRowsAddUpToTheWeight) {
  const Case c = GetParam();
  const d2c_layout layout = palette(c.rows, c.columns, c.bits, c.group, c.tile_rows);
  const Shape shape{c.rows, c.columns};
  const Tiling tiling(layout, shape);
  std::int64_t all = 0, real = 0;
  for (std::int64_t t = 0; t < tiling.count(); ++t) {
    all += tiling.rows(t);
    real += tiling.real_rows(t);
    EXPECT_LE(tiling.rows(t) * tiling.columns(), tiling.largest());
  }
  EXPECT_EQ(all, layout.padded_rows);
  EXPECT_EQ(real, c.rows);
}

INSTANTIATE_TEST_SUITE_P(Shapes, TilingTest,
                         ::testing::Values(Case{16, 64, 4, 16, 16}, Case{128258, 4096, 4, 16, 16},
                                           Case{257, 13, 3, 16, 16}, Case{5, 7, 1, 2, 8}, Case{300000, 5, 6, 4, 8},
                                           Case{1, 1, 8, 16, 16}, Case{32, 2000000, 4, 16, 16}));

TEST(Tiling, AWholePlaneIsWrittenByTheFirstTileAlone) {
  d2c_layout layout = palette(300000, 16, 4, 16, 16);
  layout.planes[1] = {D2C_PLANE_LUT, 0, d2c::TensorType{DType::f16, {1, 1, 16, 1}}.c(), 0};
  const Shape shape{300000, 16};
  const Tiling tiling(layout, shape);
  ASSERT_GT(tiling.count(), 1);
  EXPECT_EQ(tiling.range(1, 0).size, 32u);
  EXPECT_EQ(tiling.range(1, 1).size, 0u);
}

}  // namespace
