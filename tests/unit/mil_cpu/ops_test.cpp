// Every op by itself, as a function of one op, fused and not, against values worked out by hand.
#include "libs/mil_cpu/runner.hpp"
#include "tests/unit/mil_cpu/sample_package.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>

namespace d2c::mil_cpu::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pointwise;

using Build = std::function<std::string(FunctionBuilder&)>;

/// Runs a function made by `build`, which returns the name of its result, on `inputs`.
std::vector<float> run(const std::map<std::string, Constant>& inputs, const TensorType& result, const Build& build,
                       const RunnerOptions& options = {}) {
  PackageBuilder package;
  FunctionBuilder f = package.function("main");
  for (const auto& [name, value] : inputs) f.input(name, value.type);
  f.output(build(f));
  const auto runner = open_runner(package.write(), options);
  auto outputs = call(*runner, "main", nullptr, inputs);
  return numbers(result.dtype, outputs.begin()->second);
}

/// A function of the single op `type` over inputs bound by their own names.
std::vector<float> run_op(const std::string& type, const std::map<std::string, Constant>& inputs,
                          const TensorType& result, std::initializer_list<Argument> more = {}) {
  return run(inputs, result, [&](FunctionBuilder& f) {
    std::vector<Argument> arguments(more);
    for (const auto& [parameter, value] : inputs) arguments.emplace_back(parameter.c_str(), parameter);
    return f.op(type, "y_" + type, result, arguments);
  });
}

Constant i32s(Shape shape, std::initializer_list<std::int32_t> values) {
  return Constant::of<std::int32_t>(DType::i32, std::move(shape), std::span(values.begin(), values.size()));
}
TensorType reals32(Shape shape) { return {DType::f32, std::move(shape)}; }
TensorType integers32(Shape shape) { return {DType::i32, std::move(shape)}; }
TensorType booleans(Shape shape) { return {DType::boolean, std::move(shape)}; }

MATCHER_P(Near, tolerance, "") { return std::abs(std::get<0>(arg) - std::get<1>(arg)) <= tolerance; }

void expect_near(const std::vector<float>& got, const std::vector<float>& want, float tolerance = 1e-6F) {
  EXPECT_THAT(got, Pointwise(Near(tolerance), want));
}

// ---------------------------------------------------------------- elementwise

TEST(Elementwise, ArithmeticBroadcastsBothWays) {
  const Constant x = f32({2, 1}, {1, 2}), y = f32({3}, {10, 20, 30});
  expect_near(run_op("add", {{"x", x}, {"y", y}}, reals32({2, 3})), {11, 21, 31, 12, 22, 32});
  expect_near(run_op("sub", {{"x", x}, {"y", y}}, reals32({2, 3})), {-9, -19, -29, -8, -18, -28});
  expect_near(run_op("mul", {{"x", x}, {"y", y}}, reals32({2, 3})), {10, 20, 30, 20, 40, 60});
  expect_near(run_op("real_div", {{"x", y}, {"y", x}}, reals32({2, 3})), {10, 20, 30, 5, 10, 15});
  expect_near(run_op("maximum", {{"x", x}, {"y", f32({}, {1.5F})}}, reals32({2, 1})), {1.5F, 2});
  expect_near(run_op("minimum", {{"x", x}, {"y", f32({}, {1.5F})}}, reals32({2, 1})), {1, 1.5F});
  expect_near(run_op("pow", {{"x", y}, {"y", f32({}, {2})}}, reals32({3})), {100, 400, 900});
}

TEST(Elementwise, IntegersFloorAndWrap) {
  const Constant x = i32s({3}, {-7, 7, 2147483647}), y = i32s({3}, {2, -2, 1});
  expect_near(run_op("floor_div", {{"x", x}, {"y", y}}, integers32({3})), {-4, -4, 2147483648.0F});
  expect_near(run_op("mod", {{"x", x}, {"y", y}}, integers32({3})), {1, -1, 0});
  expect_near(run_op("add", {{"x", x}, {"y", y}}, integers32({3})), {-5, 5, -2147483648.0F});
}

TEST(Elementwise, DivisionOfIntegersByZeroIsNoTrap) {
  const Constant x = i32s({2}, {5, -2147483647 - 1}), y = i32s({2}, {0, -1});
  EXPECT_EQ(run_op("floor_div", {{"x", x}, {"y", y}}, integers32({2}))[0], 0);
  EXPECT_EQ(run_op("mod", {{"x", x}, {"y", y}}, integers32({2}))[1], 0);
}

TEST(Elementwise, ComparisonsGiveBooleans) {
  const Constant x = f32({3}, {1, 2, 3}), y = f32({}, {2});
  expect_near(run_op("less", {{"x", x}, {"y", y}}, booleans({3})), {1, 0, 0});
  expect_near(run_op("less_equal", {{"x", x}, {"y", y}}, booleans({3})), {1, 1, 0});
  expect_near(run_op("greater", {{"x", x}, {"y", y}}, booleans({3})), {0, 0, 1});
  expect_near(run_op("greater_equal", {{"x", x}, {"y", y}}, booleans({3})), {0, 1, 1});
  expect_near(run_op("equal", {{"x", x}, {"y", y}}, booleans({3})), {0, 1, 0});
  expect_near(run_op("not_equal", {{"x", x}, {"y", y}}, booleans({3})), {1, 0, 1});
}

TEST(Elementwise, FunctionsOfOneNumber) {
  const Constant x = f32({3}, {-1, 0, 2});
  const auto each = [](float (*f)(float)) { return std::vector<float>{f(-1), f(0), f(2)}; };
  expect_near(run_op("silu", {{"x", x}}, reals32({3})), each([](float v) { return v / (1 + std::exp(-v)); }));
  expect_near(run_op("sigmoid", {{"x", x}}, reals32({3})), each([](float v) { return 1 / (1 + std::exp(-v)); }));
  expect_near(run_op("exp", {{"x", x}}, reals32({3})), each([](float v) { return std::exp(v); }));
  expect_near(run_op("tanh", {{"x", x}}, reals32({3})), each([](float v) { return std::tanh(v); }));
  expect_near(run_op("relu", {{"x", x}}, reals32({3})), {0, 0, 2});
  expect_near(run_op("abs", {{"x", x}}, reals32({3})), {1, 0, 2});
  expect_near(run_op("square", {{"x", x}}, reals32({3})), {1, 0, 4});
  expect_near(run_op("sqrt", {{"x", f32({2}, {4, 9})}}, reals32({2})), {2, 3});
  expect_near(run_op("rsqrt", {{"x", f32({2}, {3, 0})}}, reals32({2}), {{"epsilon", f32({}, {1})}}), {0.5F, 1});
}

TEST(Elementwise, SelectBroadcastsTheConditionToo) {
  const Constant row = Constant::of<bool>(DType::boolean, {2}, std::array{true, false});
  expect_near(run_op("select", {{"cond", row}, {"a", f32({}, {1})}, {"b", f32({}, {-1})}}, reals32({2})), {1, -1});
  expect_near(run_op("select", {{"cond", row}, {"a", f32({2, 1}, {1, 2})}, {"b", f32({}, {0})}}, reals32({2, 2})),
              {1, 0, 2, 0});
}

TEST(Elementwise, CastsRoundTowardsZeroAndSaturate) {
  const Constant x = f32({4}, {-1.7F, 0, 1.7F, 1e20F});
  expect_near(run_op("cast", {{"x", x}}, integers32({4}), {{"dtype", Constant::text("int32")}}),
              {-1, 0, 1, 2147483647.0F});
  expect_near(run_op("cast", {{"x", x}}, booleans({4}), {{"dtype", Constant::text("bool")}}), {1, 0, 1, 1});
  expect_near(run_op("cast", {{"x", i32s({2}, {3, -4})}}, reals32({2}), {{"dtype", Constant::text("fp32")}}), {3, -4});
}

// ---------------------------------------------------------------- layout

TEST(Layout, MovesNumbersAsNamed) {
  const Constant x = f32({2, 3}, {1, 2, 3, 4, 5, 6});
  expect_near(run_op("transpose", {{"x", x}}, reals32({3, 2}), {{"perm", Constant::i32s({1, 0})}}), {1, 4, 2, 5, 3, 6});
  expect_near(run_op("reshape", {{"x", x}}, reals32({3, 2}), {{"shape", Constant::i32s({3, -1})}}), {1, 2, 3, 4, 5, 6});
  expect_near(run_op("expand_dims", {{"x", x}}, reals32({1, 2, 1, 3}), {{"axes", Constant::i32s({0, 2})}}),
              {1, 2, 3, 4, 5, 6});
  expect_near(run_op("squeeze", {{"x", f32({1, 2}, {1, 2})}}, reals32({2}), {{"axes", Constant::i32s({0})}}), {1, 2});
  expect_near(run_op("tile", {{"x", f32({1, 2}, {1, 2})}}, reals32({2, 4}), {{"reps", Constant::i32s({2, 2})}}),
              {1, 2, 1, 2, 1, 2, 1, 2});
  expect_near(run_op("identity", {{"x", x}}, reals32({2, 3})), {1, 2, 3, 4, 5, 6});
}

TEST(Layout, ConcatenatesAndSplitsOnAnyAxis) {
  const Constant a = f32({2, 1}, {1, 4}), b = f32({2, 2}, {2, 3, 5, 6});
  const auto joined = run({{"a", a}, {"b", b}}, reals32({2, 3}), [](FunctionBuilder& f) {
    return f.op("concat", "y", reals32({2, 3}),
                {{"values", std::vector<std::string>{"a", "b"}}, {"axis", 1}, {"interleave", false}});
  });
  expect_near(joined, {1, 2, 3, 4, 5, 6});
  const auto second = run({{"x", f32({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8})}}, reals32({2, 2}), [](FunctionBuilder& f) {
    return f.ops("split", "y", {reals32({2, 2}), reals32({2, 2})}, {{"x", "x"}, {"num_splits", 2}, {"axis", -1}})[1];
  });
  expect_near(second, {3, 4, 7, 8});
}

// ---------------------------------------------------------------- indexing

TEST(Indexing, GathersRowsAndColumns) {
  const Constant x = f32({3, 2}, {1, 2, 3, 4, 5, 6});
  expect_near(run_op("gather", {{"x", x}, {"indices", i32s({1, 2}, {2, 0})}}, reals32({1, 2, 2}), {{"axis", 0}}),
              {5, 6, 1, 2});
  expect_near(run_op("gather", {{"x", x}, {"indices", i32s({1}, {1})}}, reals32({3, 1}), {{"axis", 1}}), {2, 4, 6});
}

TEST(Indexing, AnIndexOutsideTheTableIsAnError) {
  const Constant x = f32({3, 2}, {1, 2, 3, 4, 5, 6});
  for (const std::int32_t index : {-1, 3, 2147483647}) {
    try {
      run_op("gather", {{"x", x}, {"indices", i32s({1}, {index})}}, reals32({1, 2}), {{"axis", 0}});
      FAIL() << index;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::input);
      EXPECT_THAT(e.what(), HasSubstr("index " + std::to_string(index)));
    }
  }
}

TEST(Indexing, SlicesAtPlacesKnownOnlyWhileRunning) {
  const Constant x = f32({3, 2}, {1, 2, 3, 4, 5, 6});
  const std::map<std::string, Constant> inputs{{"x", x}, {"begin", i32s({2}, {1, 0})}};
  expect_near(run_op("slice_by_size", inputs, reals32({2, 2}), {{"size", Constant::i32s({2, 2})}}), {3, 4, 5, 6});
  EXPECT_THROW(run_op("slice_by_size", {{"x", x}, {"begin", i32s({2}, {2, 0})}}, reals32({2, 2}),
                      {{"size", Constant::i32s({2, 2})}}),
               Error);
}

TEST(Indexing, SlicesByIndexWithMasksAndSqueeze) {
  expect_near(run_op("slice_by_index", {{"x", f32({2, 3}, {1, 2, 3, 4, 5, 6})}}, reals32({2}),
                     {{"begin", Constant::i32s({0, 1})},
                      {"end", Constant::i32s({0, 2})},
                      {"begin_mask", Constant::bools({true, false})},
                      {"end_mask", Constant::bools({true, false})},
                      {"squeeze_mask", Constant::bools({false, true})}}),
              {2, 5});
}

TEST(Indexing, UpdatesASliceAndLeavesTheRest) {
  const std::map<std::string, Constant> inputs{{"x", f32({3, 2}, {1, 2, 3, 4, 5, 6})},
                                               {"update", f32({1, 2}, {8, 9})},
                                               {"begin", i32s({2}, {1, 0})},
                                               {"end", i32s({2}, {2, 0})}};
  expect_near(run_op("slice_update", inputs, reals32({3, 2}), {{"end_mask", Constant::bools({false, true})}}),
              {1, 2, 8, 9, 5, 6});
}

// ---------------------------------------------------------------- folds

TEST(Folds, ReduceAnyAxes) {
  const Constant x = f32({2, 3}, {1, 2, 3, 4, 5, 9});
  const Argument rows{"axes", Constant::i32s({-1})}, columns{"axes", Constant::i32s({0})}, keep{"keep_dims", true},
      drop{"keep_dims", false};
  expect_near(run_op("reduce_mean", {{"x", x}}, reals32({2, 1}), {rows, keep}), {2, 6});
  expect_near(run_op("reduce_sum", {{"x", x}}, reals32({3}), {columns, drop}), {5, 7, 12});
  expect_near(run_op("reduce_max", {{"x", x}}, reals32({2}), {rows, drop}), {3, 9});
  expect_near(run_op("reduce_min", {{"x", x}}, reals32({2}), {rows, drop}), {1, 4});
  expect_near(run_op("reduce_sum_square", {{"x", x}}, reals32({3}), {columns, drop}), {17, 29, 90});
  expect_near(run_op("reduce_l2_norm", {{"x", f32({1, 2}, {3, 4})}}, reals32({1}), {rows, drop}), {5});
  expect_near(run_op("reduce_sum", {{"x", x}}, reals32({}), {drop}), {24});
}

TEST(Folds, SoftmaxOfHugeScoresStaysFinite) {
  expect_near(run_op("softmax", {{"x", f32({2, 2}, {1e4F, 1e4F, 0, -1e4F})}}, reals32({2, 2}), {{"axis", -1}}),
              {0.5F, 0.5F, 1, 0});
}

TEST(Folds, CumulativeSumsRunBothWays) {
  const Constant x = f32({1, 3}, {1, 2, 4});
  expect_near(run_op("cumsum", {{"x", x}}, reals32({1, 3}), {{"axis", 1}}), {1, 3, 7});
  expect_near(run_op("cumsum", {{"x", x}}, reals32({1, 3}), {{"axis", 1}, {"exclusive", true}}), {0, 1, 3});
  expect_near(run_op("cumsum", {{"x", x}}, reals32({1, 3}), {{"axis", 1}, {"reverse", true}}), {7, 6, 4});
}

// ---------------------------------------------------------------- products

TEST(Products, MatmulBroadcastsBatchesAndTransposes) {
  const Constant x = f32({2, 1, 2}, {1, 2, 3, 4}), y = f32({1, 2, 2}, {1, 0, 1, 1});
  expect_near(run_op("matmul", {{"x", x}, {"y", y}}, reals32({2, 1, 2}), {{"transpose_y", false}}), {3, 2, 7, 4});
  expect_near(run_op("matmul", {{"x", x}, {"y", y}}, reals32({2, 1, 2}), {{"transpose_y", true}}), {1, 3, 3, 7});
  expect_near(run_op("matmul", {{"x", y}, {"y", y}}, reals32({1, 2, 2}), {{"transpose_x", true}}), {2, 1, 1, 1});
}

TEST(Products, LinearTakesDenseWeightsOfEitherTypeAndABias) {
  const std::map<std::string, Constant> x{{"x", f32({1, 2}, {1, 2})}};
  const auto linear = [&](const Constant& weight, const Constant& bias, bool in_file) {
    return run(x, reals32({1, 3}), [&](FunctionBuilder& f) {
      const std::string w = in_file ? f.weight("w", weight) : f.constant("w", weight);
      return f.op("linear", "y", reals32({1, 3}), {{"x", "x"}, {"weight", w}, {"bias", bias}});
    });
  };
  expect_near(linear(f32({3, 2}, {1, 0, 0, 1, 1, 1}), f32({3}, {10, 20, 30}), false), {11, 22, 33});
  expect_near(linear(f16({3, 2}, {1, 0, 0, 1, 1, 1}), f16({3}, {10, 20, 30}), true), {11, 22, 33});
}

TEST(Products, ScaledDotProductAttentionTakesAMask) {
  const std::map<std::string, Constant> inputs{{"query", f32({1, 1, 1, 4}, {1, 1, 1, 1})},
                                               {"key", f32({1, 1, 2, 4}, {1, 1, 1, 1, 9, 9, 9, 9})},
                                               {"value", f32({1, 1, 2, 1}, {5, 7})},
                                               {"attn_mask", f32({1, 1, 1, 2}, {0, -1e4F})}};
  expect_near(run_op("scaled_dot_product_attention", inputs, reals32({1, 1, 1, 1})), {5});
}

// ---------------------------------------------------------------- compressed constants

/// y = x * W^T with a 4x4 identity for x: the weight itself, transposed back by the caller's expectation.
std::vector<float> weight_through_linear(std::int64_t rows, std::int64_t columns, const Build& weight) {
  Constant identity{{DType::f32, {columns, columns}}, {}};
  std::vector<float> values(static_cast<std::size_t>(columns * columns), 0);
  for (std::int64_t i = 0; i < columns; ++i) values[i * columns + i] = 1;
  identity = Constant::reals(DType::f32, {columns, columns}, values);
  const auto y = run({{"x", identity}}, reals32({columns, rows}), [&](FunctionBuilder& f) {
    return f.op("linear", "y", reals32({columns, rows}), {{"x", "x"}, {"weight", weight(f)}});
  });
  std::vector<float> w(y.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) w[r * columns + c] = y[c * rows + r];
  return w;
}

class Palettes : public testing::TestWithParam<int> {};

TEST_P(Palettes, OfEveryWidthExpandByRowGroups) {
  const int bits = GetParam(), entries = 1 << bits;
  constexpr std::int64_t kRows = 4, kColumns = 6;
  std::vector<int> indices;
  std::vector<float> lut, expected;
  for (int g = 0; g < 2; ++g)
    for (int e = 0; e < entries; ++e) lut.push_back(static_cast<float>(g * 1000 + e));
  for (int i = 0; i < kRows * kColumns; ++i) {
    indices.push_back(i * 7 % entries);
    expected.push_back(static_cast<float>(i / (2 * kColumns) * 1000 + indices.back()));
  }
  const DType dtype = index_dtype(bits);
  for (const bool in_file : {false, true}) {
    const auto w = weight_through_linear(kRows, kColumns, [&](FunctionBuilder& f) {
      return f.constexpr_op("constexpr_lut_to_dense", "w", {DType::f16, {kRows, kColumns}},
                            {{"indices", packed(dtype, {kRows, kColumns}, indices)},
                             {"lut", Constant::reals(DType::f16, {2, 1, entries, 1}, lut)}},
                            in_file);
    });
    expect_near(w, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, Palettes, testing::Values(1, 2, 3, 4, 6, 8));

TEST(CompressedConstants, PalettesByColumnGroupsExpand) {
  const std::array<int, 4> indices{0, 1, 1, 0};
  const auto w = weight_through_linear(2, 2, [&](FunctionBuilder& f) {
    return f.constexpr_op("constexpr_lut_to_dense", "w", {DType::f16, {2, 2}},
                          {{"indices", packed(DType::u1, {2, 2}, indices)}, {"lut", f16({1, 2, 2, 1}, {1, 2, 3, 4})}});
  });
  expect_near(w, {1, 4, 2, 3});
}

TEST(CompressedConstants, PalettesOfIntegersAreScaledFirst) {
  const std::array<int, 4> indices{0, 1, 1, 0}, lut{1, -2, 3, -4};
  const auto w = weight_through_linear(2, 2, [&](FunctionBuilder& f) {
    const std::string scaled =
        f.constexpr_op("constexpr_blockwise_shift_scale", "lut", {DType::f16, {2, 1, 2, 1}},
                       {{"data", packed(DType::i8, {2, 1, 2, 1}, lut)}, {"scale", f16({2, 1, 1, 1}, {0.5F, 2})}});
    return f.constexpr_op("constexpr_lut_to_dense", "w", {DType::f16, {2, 2}},
                          {{"indices", packed(DType::u1, {2, 2}, indices)}, {"lut", scaled}});
  });
  expect_near(w, {0.5F, -1, -8, 6});
}

TEST(CompressedConstants, BlockwiseIntegersShiftAndScale) {
  for (const DType dtype : {DType::i4, DType::u4, DType::i8, DType::u8}) {
    const std::array<int, 8> data{1, 2, 3, 4, 5, 6, 7, 0}, offset{1, 2, 0, 4};
    const auto w = weight_through_linear(2, 4, [&](FunctionBuilder& f) {
      return f.constexpr_op("constexpr_blockwise_shift_scale", "w", {DType::f16, {2, 4}},
                            {{"data", packed(dtype, {2, 4}, data)},
                             {"scale", f16({2, 2}, {1, 2, 0.5F, 4})},
                             {"offset", packed(dtype, {2, 2}, std::span(offset).first(4))}});
    });
    expect_near(w, {0, 1, 2, 4, 2.5F, 3, 12, -16});
  }
}

TEST(CompressedConstants, NegativeNibblesAreSigned) {
  const std::array<int, 2> data{-8, -1};
  const auto w = weight_through_linear(1, 2, [&](FunctionBuilder& f) {
    return f.constexpr_op("constexpr_blockwise_shift_scale", "w", {DType::f16, {1, 2}},
                          {{"data", packed(DType::i4, {1, 2}, data)}, {"scale", f16({1, 1}, {2})}});
  });
  expect_near(w, {-16, -2});
}

TEST(CompressedConstants, OfIos16AndIos17HaveAttributes) {
  const std::array<int, 1> packed_indices{0b11011000};
  const std::array<int, 2> shape{2, 2};
  const auto palette = weight_through_linear(2, 2, [&](FunctionBuilder& f) {
    return f.attribute_constexpr("constexpr_lut_to_dense", "w", {DType::f16, {2, 2}},
                                 {{"indices", packed(DType::u8, {1}, packed_indices)},
                                  {"lut", f16({4}, {1, 2, 3, 4})},
                                  {"shape", packed(DType::u32, {2}, shape)}});
  });
  expect_near(palette, {1, 3, 2, 4});
  const std::array<int, 4> data{1, -2, 3, 4};
  const std::array<int, 2> zero{0, 1};
  const auto affine = weight_through_linear(2, 2, [&](FunctionBuilder& f) {
    return f.attribute_constexpr("constexpr_affine_dequantize", "w", {DType::f16, {2, 2}},
                                 {{"quantized_data", packed(DType::i8, {2, 2}, data)},
                                  {"scale", f16({2}, {2, 0.5F})},
                                  {"zero_point", packed(DType::i8, {2}, zero)},
                                  {"axis", 0}});
  });
  expect_near(affine, {2, -4, 1, 1.5F});
}

TEST(CompressedConstants, GatherExpandsTheRowsAskedFor) {
  const std::array<int, 4> indices{0, 1, 2, 3};
  const auto rows = run({{"ids", i32s({1, 2}, {1, 0})}}, {DType::f16, {1, 2, 2}}, [&](FunctionBuilder& f) {
    const std::string w =
        f.constexpr_op("constexpr_lut_to_dense", "w", {DType::f16, {2, 2}},
                       {{"indices", packed(DType::u2, {2, 2}, indices)}, {"lut", f16({1, 1, 4, 1}, {1, 2, 3, 4})}});
    return f.op("gather", "y", {DType::f16, {1, 2, 2}}, {{"x", w}, {"indices", "ids"}, {"axis", 0}});
  });
  expect_near(rows, {3, 4, 1, 2});
}

// ---------------------------------------------------------------- precision

TEST(Precision, OnlyFp16ModeRoundsResultsInBetween) {
  const std::map<std::string, Constant> inputs{{"x", f16({1}, {1})}};
  const Build build = [](FunctionBuilder& f) {
    const std::string sum = f.op("add", "sum", {DType::f16, {1}}, {{"x", "x"}, {"y", f16({1}, {0x1p-11F})}});
    return f.op("sub", "rest", {DType::f16, {1}}, {{"x", sum}, {"y", f16({1}, {1})}});
  };
  const TensorType result{DType::f16, {1}};
  EXPECT_THAT(run(inputs, result, build, {Precision::fp32}), ElementsAre(0x1p-11F));
  EXPECT_THAT(run(inputs, result, build, {Precision::fp16}), ElementsAre(0.0F));
}

}  // namespace
}  // namespace d2c::mil_cpu::test
