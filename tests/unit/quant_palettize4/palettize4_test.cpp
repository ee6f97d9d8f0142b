#include "plugins/quant_palettize4/palettize4.hpp"

#include "tests/unit/quantizer_samples.hpp"

#include <d2c/half.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

namespace d2c::palettize4 {
namespace {

using testing::HasSubstr;

Value options(std::int64_t bits, std::int64_t group_size, std::int64_t axis = 0,
              const char* granularity = "per_grouped_channel") {
  Value v{Value::Table{}};
  v.set("bits", Value(bits));
  v.set("group_size", Value(group_size));
  v.set("axis", Value(axis));
  v.set("granularity", Value(granularity));
  return v;
}

struct Result {
  Layout layout;
  std::vector<std::uint8_t> indices;
  std::vector<std::uint16_t> lut;
  d2c_tile_stats stats{};
};

std::int64_t bits_before(const Layout& layout, std::int64_t row) {
  return row * columns_of(layout.planes[0].type.shape) * bits_of(layout.planes[0].type.dtype);
}

void process_tile(QuantizeJob& job, Result& r, const std::vector<std::uint16_t>& padded, std::int64_t first,
                  std::int64_t rows, d2c_tile_stats& stats) {
  const std::int64_t columns = columns_of(r.layout.planes[0].type.shape);
  ASSERT_EQ(bits_before(r.layout, first) % 8, 0) << "a tile's edge is not at a byte";
  const std::int64_t per_slice = r.layout.planes[1].rows_per_slice;
  const std::int64_t slice = static_cast<std::int64_t>(r.lut.size()) * per_slice / r.layout.padded_rows;
  void* lut = per_slice != 0 ? r.lut.data() + first / per_slice * slice : first == 0 ? r.lut.data() : nullptr;
  void* const planes[] = {r.indices.data() + bits_before(r.layout, first) / 8, lut};
  job.process({first, rows, padded.data() + first * columns}, planes, stats);
}

/// Runs a quantizer as the host does, `tiles_at_once` units of tile_rows per tile, the last tiles first if `backwards`.
Result quantize(const Value& config, const Shape& shape, std::vector<std::uint16_t> weights,
                std::int64_t tiles_at_once = 1, bool backwards = false) {
  Palettize4 quantizer{Config(config)};
  const WeightDesc desc{"w", "mlp", shape};
  Result r;
  r.layout = quantizer.plan(desc);
  const std::int64_t columns = columns_of(shape);
  weights.resize(static_cast<std::size_t>(r.layout.padded_rows * columns));
  r.indices.assign(static_cast<std::size_t>(r.layout.planes[0].type.bytes()), 0xee);
  r.lut.assign(static_cast<std::size_t>(r.layout.planes[1].type.count()), 0xeeee);

  const auto job = quantizer.begin(desc);
  const std::int64_t step = r.layout.tile_rows * tiles_at_once;
  std::vector<std::pair<std::int64_t, std::int64_t>> tiles;
  for (std::int64_t row = 0; row < r.layout.padded_rows; row += step)
    tiles.emplace_back(row, std::min(step, r.layout.padded_rows - row));
  if (r.layout.needs_observe)
    for (const auto& [first, rows] : tiles) job->observe({first, rows, weights.data() + first * columns});
  if (backwards) std::reverse(tiles.begin(), tiles.end());
  for (const auto& [first, rows] : tiles) {
    d2c_tile_stats stats{};
    process_tile(*job, r, weights, first, rows, stats);
    r.stats.squared_error += stats.squared_error;
    r.stats.squared_sum += stats.squared_sum;
    r.stats.max_error = std::max(r.stats.max_error, stats.max_error);
    r.stats.groups += stats.groups;
    r.stats.groups_certified += stats.groups_certified;
    r.stats.distinct_values += stats.distinct_values;
  }
  return r;
}

unsigned index_at(const Result& r, std::int64_t element) {
  const int bits = bits_of(r.layout.planes[0].type.dtype);
  unsigned index = 0;
  for (int b = 0; b < bits; ++b) {
    const std::int64_t at = element * bits + b;
    index |= static_cast<unsigned>(r.indices[static_cast<std::size_t>(at / 8)] >> at % 8 & 1) << b;
  }
  return index;
}

/// The palette of an element.
const std::uint16_t* palette_at(const Result& r, std::int64_t element) {
  const Shape& shape = r.layout.planes[0].type.shape;
  const Shape& lut = r.layout.planes[1].type.shape;
  return r.lut.data() + block_of(element, shape, lut) * lut[shape.size()];
}

void expect_nearest_entries_and_true_stats(const Result& r, const std::vector<std::uint16_t>& weights) {
  const std::int64_t entries = std::int64_t{1} << r.layout.bits;
  double squared_error = 0, squared_sum = 0, max_error = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::uint16_t* palette = palette_at(r, static_cast<std::int64_t>(i));
    const double value = half_to_float(weights[i]);
    double nearest = std::numeric_limits<double>::infinity();
    for (std::int64_t e = 0; e < entries; ++e) nearest = std::min(nearest, std::abs(value - half_to_float(palette[e])));
    const double error = std::abs(value - half_to_float(palette[index_at(r, static_cast<std::int64_t>(i))]));
    ASSERT_EQ(error, nearest) << "element " << i;
    squared_error += error * error;
    squared_sum += value * value;
    max_error = std::max(max_error, error);
  }
  EXPECT_NEAR(r.stats.squared_error, squared_error, 1e-10 * squared_error);
  EXPECT_NEAR(r.stats.squared_sum, squared_sum, 1e-10 * squared_sum);
  EXPECT_EQ(r.stats.max_error, max_error);
  EXPECT_EQ(r.stats.groups, count_of(r.layout.planes[1].type.shape) / entries);
  EXPECT_EQ(r.stats.groups_certified, r.stats.groups);
}

TEST(Palettize4, DequantizesToTheNearestEntryForAllBitsGroupsAndShapes) {
  const std::vector<Shape> shapes{{1, 1}, {16, 8}, {33, 7}, {48, 24}, {5, 3}, {40, 6, 2, 2}};
  unsigned seed = 0;
  for (const Shape& shape : shapes) {
    const auto weights = random_weights(count_of(shape), ++seed);
    for (const std::int64_t bits : {1, 2, 3, 4, 6, 8}) {
      for (const std::int64_t group : {1, 3, 8, 16}) {
        SCOPED_TRACE(to_string(shape) + " bits " + std::to_string(bits) + " group " + std::to_string(group));
        expect_nearest_entries_and_true_stats(quantize(options(bits, group), shape, weights), weights);
        if (shape[1] % group == 0)
          expect_nearest_entries_and_true_stats(quantize(options(bits, group, 1), shape, weights), weights);
      }
      expect_nearest_entries_and_true_stats(quantize(options(bits, 16, 0, "per_tensor"), shape, weights), weights);
    }
  }
}

TEST(Palettize4, GivesTheSameBytesForAnyTilingOrderAndTarget) {
  const Shape shape{75, 37};
  const auto weights = random_weights(count_of(shape), 9);
  for (const std::int64_t bits : {3, 4, 6}) {
    for (const Value& config : {options(bits, 5), options(bits, 37, 1), options(bits, 1, 0, "per_tensor")}) {
      const Result expected = quantize(config, shape, weights);
      for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        for (const std::int64_t tiles : {1, 2, 100}) {
          const Result r = quantize(config, shape, weights, tiles, true);
          EXPECT_EQ(r.indices, expected.indices) << hwy::TargetName(target);
          EXPECT_EQ(r.lut, expected.lut) << hwy::TargetName(target);
        }
      }
      hwy::SetSupportedTargetsForTest(0);
    }
  }
}

TEST(Palettize4, GivesTheSameBytesFromSeveralThreads) {
  const Shape shape{128, 64};
  const auto weights = random_weights(count_of(shape), 10);
  const Result expected = quantize(options(4, 16), shape, weights);
  Palettize4 quantizer{Config(options(4, 16))};
  const auto job = quantizer.begin({"w", "mlp", shape});
  Result r = expected;
  std::fill(r.indices.begin(), r.indices.end(), std::uint8_t{0});
  std::fill(r.lut.begin(), r.lut.end(), std::uint16_t{0});
  std::vector<std::thread> threads;
  for (std::int64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      d2c_tile_stats stats{};
      for (std::int64_t row = t * 16; row < shape[0]; row += 64) process_tile(*job, r, weights, row, 16, stats);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(r.indices, expected.indices);
  EXPECT_EQ(r.lut, expected.lut);
}

TEST(Palettize4, LeavesPaddingOutOfPaletteAndStatistics) {
  // Two rows of weights far from zero; fourteen rows of padding must not pull an entry there.
  std::vector<std::uint16_t> weights(2 * 64);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = float_to_half(1.f + static_cast<float>(i) / 128.f);
  const Result r = quantize(options(2, 16), {2, 64}, weights);
  EXPECT_EQ(r.layout.padded_rows, 16);
  for (const std::uint16_t entry : r.lut) EXPECT_GE(half_to_float(entry), 1.f);
  expect_nearest_entries_and_true_stats(r, weights);
  for (std::int64_t i = 2 * 64; i < 16 * 64; ++i)
    EXPECT_EQ(index_at(r, i), 0u) << "padding takes the entry nearest to zero";
}

TEST(Palettize4, PlansPlanesFromTheShapeAlone) {
  const Layout rows = Palettize4{Config(options(4, 16))}.plan({"w", "embedding", {128258, 4096}});
  EXPECT_EQ(rows.scheme, D2C_SCHEME_PALETTE);
  EXPECT_EQ(rows.padded_rows, 128272);
  EXPECT_EQ(rows.tile_rows, 16);
  EXPECT_FALSE(rows.needs_observe);
  EXPECT_EQ(rows.planes[0].type, (TensorType{DType::u4, {128272, 4096}}));
  EXPECT_EQ(rows.planes[1].type, (TensorType{DType::f16, {8017, 1, 16, 1}}));
  EXPECT_EQ(rows.planes[1].rows_per_slice, 16);
  EXPECT_EQ(rows.label, "palette 4-bit, groups of 16");

  const Layout columns = Palettize4{Config(options(3, 16, 1))}.plan({"w", "mlp", {10, 48}});
  EXPECT_TRUE(columns.needs_observe);
  EXPECT_EQ(columns.padded_rows, 10);
  EXPECT_EQ(columns.planes[0].type, (TensorType{DType::u3, {10, 48}}));
  EXPECT_EQ(columns.planes[1].type, (TensorType{DType::f16, {1, 3, 8, 1}}));
  EXPECT_EQ(columns.planes[1].rows_per_slice, 0);

  const Layout tensor = Palettize4{Config(options(6, 16, 0, "per_tensor"))}.plan({"w", "mlp", {7, 3}});
  EXPECT_EQ(tensor.planes[1].type, (TensorType{DType::f16, {1, 1, 64, 1}}));
  EXPECT_EQ(tensor.tile_rows, 4) << "4 rows of 3 six-bit indices are 9 bytes";
}

TEST(Palettize4, HasDefaultsForEveryOption) {
  const Layout layout = Palettize4{Config(Value{Value::Table{}})}.plan({"w", "mlp", {32, 8}});
  EXPECT_EQ(layout.label, "palette 4-bit, groups of 16");
}

Error error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e;
  }
  return {Code::ok, "no error"};
}

TEST(Palettize4, RefusesAColumnGroupThatDoesNotFitAndNamesThoseThatDo) {
  const Error e = error_of([] {
    static_cast<void>(Palettize4{Config(options(4, 16, 1))}.plan({"w", "mlp", {8, 100}}));
  });
  EXPECT_EQ(e.code(), Code::usage);
  EXPECT_THAT(e.what(), HasSubstr("16 does not divide its 100 input columns"));
  EXPECT_THAT(e.what(), HasSubstr("1, 2, 4, 5, 10, 20, 25, 50, 100 would do"));
}

TEST(Palettize4, RefusesBadOptionsByName) {
  const auto message = [](const char* key, Value value) {
    Value v{Value::Table{}};
    v.set(key, std::move(value));
    const Error e = error_of([&] { Palettize4{Config(v)}; });
    EXPECT_EQ(e.code(), Code::usage);
    return std::string(e.what());
  };
  EXPECT_THAT(message("bits", Value(std::int64_t{5})), HasSubstr("bits: 5 is not one of"));
  EXPECT_THAT(message("axis", Value(std::int64_t{2})), HasSubstr("axis: 2"));
  EXPECT_THAT(message("group_size", Value(std::int64_t{0})), HasSubstr("group_size: 0"));
  EXPECT_THAT(message("granularity", Value("per_row")), HasSubstr("'per_row'"));
  EXPECT_THAT(message("mode", Value("hasty")), HasSubstr("'hasty' is not one of exact, fast"));
}

TEST(Palettize4, RefusesShapesWithoutAPalette) {
  const Palettize4 q{Config(options(4, 16))};
  for (const Shape& shape : {Shape{}, Shape{8}, Shape{0, 4}, Shape{4, 0}, Shape{1, 1, 1, 1, 1, 1, 1}})
    EXPECT_EQ(error_of([&] {
                static_cast<void>(q.plan({"w", "mlp", shape}));
              }).code(),
              Code::usage)
        << to_string(shape);
  const auto most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(error_of([&] { static_cast<void>(q.plan({"w", "mlp", {most, 1}})); }).code(), Code::usage);
  EXPECT_EQ(error_of([&] { static_cast<void>(q.plan({"w", "mlp", {1, most}})); }).code(), Code::usage);
}

TEST(Palettize4, NamesTheTensorThatHoldsAnInfinityOrNanAndWorksOnAfterwards) {
  for (const Value& config : {options(4, 4), options(4, 4, 1), options(4, 4, 0, "per_tensor")}) {
    for (const std::uint16_t bad : std::vector<std::uint16_t>{0x7c00, 0xfc00, 0x7e00}) {
      auto weights = random_weights(8 * 8, 1);
      weights[37] = bad;
      const Error e = error_of([&] { quantize(config, {8, 8}, weights); });
      EXPECT_EQ(e.code(), Code::input);
      EXPECT_THAT(e.what(), HasSubstr("w: "));
    }
  }
  Palettize4 q{Config(options(4, 4))};
  const auto job = q.begin({"w", "mlp", {8, 8}});
  auto weights = random_weights(8 * 8, 1);
  Result r = quantize(options(4, 4), {8, 8}, weights);
  const Result expected = r;
  auto bad = weights;
  bad[3] = 0x7c00;
  d2c_tile_stats stats{};
  EXPECT_EQ(error_of([&] { process_tile(*job, r, bad, 0, 4, stats); }).code(), Code::input);
  process_tile(*job, r, weights, 0, 4, stats);
  EXPECT_EQ(r.indices, expected.indices);
  EXPECT_EQ(r.lut, expected.lut);
}

TEST(Palettize4, RefusesTilesThatBreakTheContract) {
  Palettize4 rows{Config(options(4, 4))};
  d2c_tile_stats stats{};
  const std::vector<std::uint16_t> weights(64);
  void* const planes[] = {nullptr, nullptr};
  EXPECT_EQ(error_of([&] {
              rows.begin({"w", "mlp", {8, 8}})->process({2, 4, weights.data()}, planes, stats);
            }).code(),
            Code::plugin);
  Palettize4 columns{Config(options(4, 4, 1))};
  EXPECT_EQ(error_of([&] {
              columns.begin({"w", "mlp", {8, 8}})->process({0, 8, weights.data()}, planes, stats);
            }).code(),
            Code::plugin);
  EXPECT_EQ(error_of([&] {
              columns.begin({"w", "mlp", {8, 8}})->observe({4, 4, weights.data()});
            }).code(),
            Code::plugin);
}

}  // namespace
}  // namespace d2c::palettize4
