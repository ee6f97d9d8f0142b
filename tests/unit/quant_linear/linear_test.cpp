#include "plugins/quant_linear/linear.hpp"

#include "tests/unit/quantizer_samples.hpp"

#include <d2c/half.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

namespace d2c::linear {
namespace {

using testing::HasSubstr;

Value options(std::int64_t bits, std::int64_t group_size, const char* offset, const char* mode = "least_squares") {
  Value v = Value::table();
  v.set("bits", bits);
  v.set("group_size", group_size);
  v.set("offset", offset);
  v.set("mode", mode);
  return v;
}

Value per_channel(const char* offset) {
  Value v = options(4, 32, offset);
  v.set("granularity", "per_channel");
  return v;
}

/// The planes of a weight and how they are filled.
class Result {
 public:
  explicit Result(Layout l) : layout(std::move(l)) {
    for (const Plane& plane : layout.planes) planes.emplace_back(static_cast<std::size_t>(plane.type.bytes()), 0xee);
  }

  void process(QuantizeJob& job, const std::vector<std::uint16_t>& weights, std::int64_t first, std::int64_t rows,
               d2c_tile_stats& into) {
    std::vector<void*> out;
    for (std::size_t p = 0; p < planes.size(); ++p) {
      const TensorType& type = layout.planes[p].type;
      const std::int64_t bits = first * columns_of(type.shape) * bits_of(type.dtype);
      ASSERT_EQ(bits % 8, 0) << "a tile's edge is not at a byte";
      out.push_back(planes[p].data() + bits / 8);
    }
    job.process({first, rows, weights.data() + first * columns_of(layout.planes[0].type.shape)}, out, into);
  }

  /// Element `i` of a plane as a number.
  [[nodiscard]] float at(std::size_t plane, std::int64_t i) const {
    const DType dtype = layout.planes[plane].type.dtype;
    const auto* bytes = planes[plane].data();
    if (dtype == DType::f16) return half_to_float(static_cast<std::uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8));
    int value = bits_of(dtype) == 8 ? bytes[i] : bytes[i / 2] >> i % 2 * 4 & 15;
    if (dtype == DType::i8 && value > 127) value -= 256;
    if (dtype == DType::i4 && value > 7) value -= 16;
    return static_cast<float>(value);
  }

  [[nodiscard]] float dense(std::int64_t element) const {
    const std::int64_t block = block_of(element, layout.planes[0].type.shape, layout.planes[1].type.shape);
    const float offset = planes.size() > 2 ? at(2, block) : 0;
    return half_to_float(float_to_half(at(1, block) * (at(0, element) - offset)));
  }

  Layout layout;
  std::vector<std::vector<std::uint8_t>> planes;
  d2c_tile_stats stats{};
};

Result quantize(const Value& config, const Shape& shape, const std::vector<std::uint16_t>& weights,
                std::int64_t tiles_at_once = 1, bool backwards = false) {
  Linear quantizer{Config(config)};
  const WeightDesc desc{"w", "mlp", shape};
  Result r(quantizer.plan(desc));
  const auto job = quantizer.begin(desc);
  const std::int64_t step = r.layout.tile_rows * tiles_at_once;
  std::vector<std::int64_t> tiles;
  for (std::int64_t row = 0; row < shape[0]; row += step) tiles.push_back(row);
  if (backwards) std::reverse(tiles.begin(), tiles.end());
  for (const std::int64_t first : tiles) r.process(*job, weights, first, std::min(step, shape[0] - first), r.stats);
  return r;
}

void expect_true_stats(const Result& r, const std::vector<std::uint16_t>& weights) {
  double squared_error = 0, squared_sum = 0, max_error = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double value = half_to_float(weights[i]);
    const double error = std::abs(value - r.dense(static_cast<std::int64_t>(i)));
    squared_error += error * error;
    squared_sum += value * value;
    max_error = std::max(max_error, error);
  }
  EXPECT_NEAR(r.stats.squared_error, squared_error, 1e-10 * squared_error);
  EXPECT_NEAR(r.stats.squared_sum, squared_sum, 1e-10 * squared_sum);
  EXPECT_EQ(r.stats.max_error, max_error);
  EXPECT_LE(squared_error, 0.02 * squared_sum);
}

TEST(Linear, ReportsTheErrorOfWhatTheProgramWillComputeForAllOptionsAndShapes) {
  unsigned seed = 0;
  for (const Shape& shape : std::vector<Shape>{{1, 1}, {16, 32}, {33, 6}, {5, 3}, {7, 96}, {6, 4, 3, 1}}) {
    const auto weights = random_weights(count_of(shape), ++seed);
    for (const char* offset : {"none", "integer", "fp16"}) {
      for (const std::int64_t bits : {4, 8})
        for (const char* mode : {"least_squares", "range"})
          for (const std::int64_t group : {1, 2, 3, 32}) {
            if (shape[1] % group != 0) continue;
            SCOPED_TRACE(to_string(shape) + offset + std::to_string(bits) + mode + std::to_string(group));
            expect_true_stats(quantize(options(bits, group, offset, mode), shape, weights), weights);
          }
      expect_true_stats(quantize(per_channel(offset), shape, weights), weights);
    }
  }
}

TEST(Linear, GivesTheSameBytesForAnyTilingOrderAndTarget) {
  const Shape shape{75, 33};
  const auto weights = random_weights(count_of(shape), 9);
  for (const Value& config : {options(4, 3, "none"), options(4, 11, "integer"), options(8, 33, "fp16")}) {
    const Result expected = quantize(config, shape, weights);
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      for (const std::int64_t tiles : {1, 2, 100})
        EXPECT_EQ(quantize(config, shape, weights, tiles, true).planes, expected.planes) << hwy::TargetName(target);
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(Linear, GivesTheSameBytesFromSeveralThreads) {
  const Shape shape{128, 64};
  const auto weights = random_weights(count_of(shape), 10);
  const Result expected = quantize(options(4, 32, "integer"), shape, weights);
  Linear quantizer{Config(options(4, 32, "integer"))};
  const auto job = quantizer.begin({"w", "mlp", shape});
  Result r(expected.layout);
  std::vector<std::thread> threads;
  for (std::int64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      d2c_tile_stats stats{};
      for (std::int64_t row = t * 16; row < shape[0]; row += 64) r.process(*job, weights, row, 16, stats);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(r.planes, expected.planes);
}

TEST(Linear, PlansPlanesFromTheShapeAlone) {
  const Layout symmetric = Linear{Config(options(4, 32, "none"))}.plan({"w", "embedding", {128258, 4096}});
  EXPECT_EQ(symmetric.scheme, D2C_SCHEME_BLOCKWISE);
  EXPECT_EQ(symmetric.padded_rows, 128258);
  EXPECT_EQ(symmetric.tile_rows, 1);
  ASSERT_EQ(symmetric.planes.size(), 2u);
  EXPECT_EQ(symmetric.planes[0].type, (TensorType{DType::i4, {128258, 4096}}));
  EXPECT_EQ(symmetric.planes[1].type, (TensorType{DType::f16, {128258, 128}}));
  EXPECT_EQ(symmetric.label, "int4, blocks of 32");

  const Layout integer = Linear{Config(options(8, 16, "integer"))}.plan({"w", "mlp", {10, 48, 1, 1}});
  ASSERT_EQ(integer.planes.size(), 3u);
  EXPECT_EQ(integer.planes[0].type, (TensorType{DType::u8, {10, 48, 1, 1}}));
  EXPECT_EQ(integer.planes[2].type, (TensorType{DType::u8, {10, 3, 1, 1}}));
  EXPECT_EQ(integer.label, "uint8, blocks of 16, with offset");

  const Layout channel = Linear{Config(per_channel("fp16"))}.plan({"w", "mlp", {7, 3}});
  EXPECT_EQ(channel.planes[2].type, (TensorType{DType::f16, {7, 1}}));
  EXPECT_EQ(channel.tile_rows, 2) << "2 rows of 3 four-bit integers are 3 bytes";
  EXPECT_EQ(channel.label, "uint4, per channel, with fp16 offset");
}

TEST(Linear, HasDefaultsForEveryOption) {
  EXPECT_EQ(Linear{Config(Value::table())}.plan({"w", "mlp", {32, 64}}).label, "int4, blocks of 32");
}

Error error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e;
  }
  return {Code::ok, "no error"};
}

TEST(Linear, RefusesAGroupThatDoesNotFitAndNamesThoseThatDo) {
  const Error e = error_of([] {
    static_cast<void>(Linear{Config(options(4, 32, "none"))}.plan({"w", "mlp", {8, 100}}));
  });
  EXPECT_EQ(e.code(), Code::usage);
  EXPECT_THAT(e.what(), HasSubstr("32 does not divide its 100 input columns"));
  EXPECT_THAT(e.what(), HasSubstr("1, 2, 4, 5, 10, 20, 25, 50, 100 would do"));
}

TEST(Linear, RefusesBadOptionsByName) {
  const auto message = [](const char* key, Value value) {
    Value v = Value::table();
    v.set(key, std::move(value));
    const Error e = error_of([&] { Linear{Config(v)}; });
    EXPECT_EQ(e.code(), Code::usage);
    return std::string(e.what());
  };
  EXPECT_THAT(message("bits", std::int64_t{3}), HasSubstr("bits: 3 is not one of"));
  EXPECT_THAT(message("group_size", std::int64_t{0}), HasSubstr("group_size: 0"));
  EXPECT_THAT(message("granularity", "per_row"), HasSubstr("'per_row' is not one of per_block, per_channel"));
  EXPECT_THAT(message("offset", "yes"), HasSubstr("'yes' is not one of none, integer, fp16"));
  EXPECT_THAT(message("mode", "hasty"), HasSubstr("'hasty' is not one of least_squares, range"));
}

TEST(Linear, RefusesShapesWithoutAScale) {
  const Linear q{Config(options(4, 1, "none"))};
  const auto most = std::numeric_limits<std::int64_t>::max();
  for (const Shape& shape : {Shape{}, Shape{8}, Shape{0, 4}, Shape{4, 0}, Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, most}})
    EXPECT_EQ(error_of([&] {
                static_cast<void>(q.plan({"w", "mlp", shape}));
              }).code(),
              Code::usage)
        << to_string(shape);
}

TEST(Linear, NamesTheTensorAndRowThatHoldAnInfinityOrNan) {
  for (const std::uint16_t bad : std::vector<std::uint16_t>{0x7c00, 0xfc00, 0x7e00}) {
    auto weights = random_weights(8 * 32, 1);
    weights[5 * 32 + 3] = bad;
    const Error e = error_of([&] { quantize(options(4, 32, "none"), {8, 32}, weights); });
    EXPECT_EQ(e.code(), Code::input);
    EXPECT_THAT(e.what(), HasSubstr("w: row 5 holds"));
  }
}

TEST(Linear, RefusesTilesThatBreakTheContract) {
  Linear q{Config(options(4, 32, "none"))};
  const std::vector<std::uint16_t> weights(8 * 32);
  void* const planes[] = {nullptr, nullptr};
  d2c_tile_stats stats{};
  for (const auto& [first, rows] : {std::pair<std::int64_t, std::int64_t>{-1, 2}, {0, 9}, {8, 1}, {0, 0}})
    EXPECT_EQ(error_of([&] {
                q.begin({"w", "mlp", {8, 32}})->process({first, rows, weights.data()}, planes, stats);
              }).code(),
              Code::plugin);
}

}  // namespace
}  // namespace d2c::linear
