#include "tests/unit/graph/function_under_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace d2c::host {
namespace {

using testing::HasSubstr;

class OpInference : public test::FunctionUnderTest {
 protected:
  int inputs_ = 0;

  Node input(DType dtype, Shape shape) {
    return g_.input(("in" + std::to_string(++inputs_)).c_str(), {dtype, std::move(shape)});
  }
  Node half(Shape shape) { return input(DType::f16, std::move(shape)); }
  Node ids(Shape shape) { return input(DType::i32, std::move(shape)); }

  std::string result(const char* type, std::initializer_list<Arg> args) {
    try {
      return g_.type(g_.op(type, "y", args)).text();
    } catch (const HostFailure&) {
      return message_;
    }
  }
};

TEST_F(OpInference, ElementwiseOpsBroadcastAndKeepTheType) {
  EXPECT_EQ(result("add", {{"x", half({1, 4, 8})}, {"y", half({4, 1})}}), "fp16[1,4,8]");
  EXPECT_EQ(result("less_equal", {{"x", ids({1, 8})}, {"y", ids({4, 1})}}), "bool[4,8]");
  EXPECT_THAT(result("mul", {{"x", half({3})}, {"y", half({4})}}), HasSubstr("[3] and [4] do not broadcast"));
  EXPECT_THAT(result("mul", {{"x", half({3})}, {"y", Constant::real(DType::f32, 2)}}),
              HasSubstr("must share one element type"));
}

TEST_F(OpInference, SelectNeedsACondition) {
  const Node cond = g_.op("greater", "c", {{"x", ids({4})}, {"y", 0}});
  EXPECT_EQ(result("select", {{"cond", cond}, {"a", Constant::real(DType::f16, 0)}, {"b", half({2, 4})}}), "fp16[2,4]");
  EXPECT_THAT(
      result("select", {{"cond", cond}, {"a", Constant::real(DType::f16, 0)}, {"b", Constant::real(DType::f16, 1)}}),
      HasSubstr("must span the shape of cond bool[4]"));
  EXPECT_THAT(result("select", {{"cond", half({4})}, {"a", half({4})}, {"b", half({4})}}),
              HasSubstr("which is not bool"));
}

TEST_F(OpInference, CastsAndActivationsKeepTheShape) {
  EXPECT_EQ(result("cast", {{"x", half({2, 3})}, {"dtype", "fp32"}}), "fp32[2,3]");
  EXPECT_THAT(result("cast", {{"x", half({2})}, {"dtype", "float32"}}), HasSubstr("cannot cast to 'float32'"));
  EXPECT_EQ(result("silu", {{"x", half({2, 3})}}), "fp16[2,3]");
  EXPECT_THAT(result("silu", {{"x", ids({2})}}), HasSubstr("x is int32[2], which is not fp16/fp32"));
  EXPECT_THAT(result("softmax", {{"x", half({2})}, {"axis", 1}}), HasSubstr("axis 1 lies outside rank 1"));
}

TEST_F(OpInference, LinearTakesAWeightOfAnotherType) {
  const Node w = g_.weight({0, "a", "", D2C_PART_FULL, "mlp", {6, 8}});
  EXPECT_EQ(result("linear", {{"x", input(DType::f32, {1, 2, 8})}, {"weight", w}}), "fp32[1,2,6]");
  EXPECT_THAT(result("linear", {{"x", half({1, 2, 7})}, {"weight", w}}),
              HasSubstr("x fp16[1,2,7] and weight fp16[6,8] do not multiply"));
  EXPECT_THAT(result("linear", {{"x", half({1, 8})}, {"weight", half({6, 8})}}),
              HasSubstr("weight must be a constant"));
  EXPECT_THAT(result("linear", {{"x", half({1, 1, 2, 8})}, {"weight", w}}), HasSubstr("must have rank 1 to 3"));
}

TEST_F(OpInference, MatmulBroadcastsItsBatches) {
  EXPECT_EQ(result("matmul", {{"x", half({1, 2, 3, 4, 8})}, {"y", half({1, 2, 1, 5, 8})}, {"transpose_y", true}}),
            "fp16[1,2,3,4,5]");
  EXPECT_EQ(result("matmul", {{"x", half({8, 4})}, {"y", half({8, 5})}, {"transpose_x", true}}), "fp16[4,5]");
  EXPECT_THAT(result("matmul", {{"x", half({4, 8})}, {"y", half({9, 5})}}),
              HasSubstr("f: op matmul 'y': x fp16[4,8] and y fp16[9,5] do not multiply"));
}

TEST_F(OpInference, FusedAttentionDoesNotBroadcastHeads) {
  const Node q = half({1, 4, 3, 8}), kv = half({1, 4, 6, 8}), few = half({1, 2, 6, 8});
  EXPECT_EQ(result("scaled_dot_product_attention",
                   {{"query", q}, {"key", kv}, {"value", kv}, {"attn_mask", half({1, 1, 3, 6})}}),
            "fp16[1,4,3,8]");
  EXPECT_THAT(result("scaled_dot_product_attention", {{"query", q}, {"key", few}, {"value", few}}),
              HasSubstr("same batch and head dimensions"));
}

TEST_F(OpInference, ReductionsDropOrKeepAxes) {
  const Node x = half({2, 3, 4});
  EXPECT_EQ(result("reduce_mean", {{"x", x}, {"axes", Constant::i32s({-1})}, {"keep_dims", true}}), "fp16[2,3,1]");
  EXPECT_EQ(result("reduce_sum", {{"x", x}, {"axes", Constant::i32s({0, 2})}}), "fp16[3]");
  EXPECT_EQ(result("reduce_argmax", {{"x", x}, {"axis", 1}}), "int32[2,4]");
  EXPECT_THAT(result("reduce_max", {{"x", x}, {"axes", Constant::i32s({1, -2})}}), HasSubstr("axis -2 is given twice"));
}

TEST_F(OpInference, ReshapeFillsInAndCopiesDimensions) {
  const Node x = half({2, 3, 4});
  EXPECT_EQ(result("reshape", {{"x", x}, {"shape", Constant::i32s({-1, 4})}}), "fp16[6,4]");
  EXPECT_EQ(result("reshape", {{"x", x}, {"shape", Constant::i32s({6, 0})}}), "fp16[6,4]");
  EXPECT_THAT(result("reshape", {{"x", x}, {"shape", Constant::i32s({5, -1})}}),
              HasSubstr("cannot take the shape [5,-1]"));
  EXPECT_THAT(result("reshape", {{"x", x}, {"shape", Constant::i32s({-1, -1})}}), HasSubstr("cannot take the shape"));
  EXPECT_THAT(result("reshape", {{"x", x}, {"shape", ids({2})}}), HasSubstr("the shape of the result is not static"));
}

TEST_F(OpInference, LayoutOpsMoveDimensions) {
  const Node x = half({2, 3, 4});
  EXPECT_EQ(result("transpose", {{"x", x}, {"perm", Constant::i32s({2, 0, 1})}}), "fp16[4,2,3]");
  EXPECT_THAT(result("transpose", {{"x", x}, {"perm", Constant::i32s({0, 0, 1})}}), HasSubstr("given twice"));
  EXPECT_EQ(result("expand_dims", {{"x", x}, {"axes", Constant::i32s({0, -1})}}), "fp16[1,2,3,4,1]");
  EXPECT_THAT(result("squeeze", {{"x", x}, {"axes", Constant::i32s({0})}}), HasSubstr("cannot squeeze dimension 0"));
  EXPECT_EQ(result("tile", {{"x", x}, {"reps", Constant::i32s({1, 2, 1})}}), "fp16[2,6,4]");
  EXPECT_EQ(result("concat", {{"values", std::vector<Node>{x, half({2, 5, 4})}}, {"axis", 1}}), "fp16[2,8,4]");
  EXPECT_THAT(result("concat", {{"values", std::vector<Node>{x, half({2, 5, 3})}}, {"axis", 1}}),
              HasSubstr("differ outside axis 1"));
  EXPECT_EQ(result("stack", {{"values", std::vector<Node>{x, x}}, {"axis", -1}}), "fp16[2,3,4,2]");
  EXPECT_EQ(result("range_1d", {{"end", 10}, {"start", 1}, {"step", 4}}), "int32[3]");
}

TEST_F(OpInference, SplitGivesAsManyResultsAsParts) {
  const auto halves = g_.ops("split", "s", {{"x", half({2, 6})}, {"num_splits", 2}, {"axis", -1}}, 2);
  EXPECT_EQ(g_.type(halves[1]).text(), "fp16[2,3]");
  EXPECT_THROW((void)g_.ops("split", "s", {{"x", half({2, 6})}, {"num_splits", 2}, {"axis", -1}}, 3), HostFailure);
  EXPECT_THAT(message_, HasSubstr("has 2 results, 3 are asked for"));
  EXPECT_THROW((void)g_.ops("split", "s", {{"x", half({2, 6})}, {"num_splits", 4}, {"axis", 1}}, 4), HostFailure);
  EXPECT_THAT(message_, HasSubstr("do not divide"));
}

TEST_F(OpInference, GathersRows) {
  EXPECT_EQ(result("gather", {{"x", half({50, 8})}, {"indices", ids({1, 3})}, {"axis", 0}}), "fp16[1,3,8]");
  EXPECT_EQ(result("gather_along_axis", {{"x", half({2, 8})}, {"indices", ids({2, 3})}, {"axis", 1}}), "fp16[2,3]");
  EXPECT_THAT(result("gather", {{"x", half({50, 8})}, {"indices", half({3})}}), HasSubstr("indices is fp16[3]"));
}

TEST_F(OpInference, SlicesByKnownBoundsAndByKnownSizes) {
  const Node x = half({4, 10});
  EXPECT_EQ(result("slice_by_index", {{"x", x}, {"begin", Constant::i32s({1, -3})}, {"end", Constant::i32s({3, 100})}}),
            "fp16[2,3]");
  EXPECT_EQ(result("slice_by_index", {{"x", x},
                                      {"begin", Constant::i32s({0, 0})},
                                      {"end", Constant::i32s({1, 0})},
                                      {"stride", Constant::i32s({1, -3})},
                                      {"begin_mask", Constant::bools({false, true})},
                                      {"end_mask", Constant::bools({false, true})},
                                      {"squeeze_mask", Constant::bools({true, false})}}),
            "fp16[4]");
  EXPECT_THAT(result("slice_by_index", {{"x", x}, {"begin", ids({2})}, {"end", Constant::i32s({3, 3})}}),
              HasSubstr("use slice_by_size"));
  EXPECT_EQ(result("slice_by_size", {{"x", x}, {"begin", ids({2})}, {"size", Constant::i32s({2, 10})}}), "fp16[2,10]");
  EXPECT_EQ(result("slice_by_size", {{"x", x}, {"begin", Constant::i32s({1, 2})}, {"size", Constant::i32s({-1, 3})}}),
            "fp16[3,3]");
  EXPECT_THAT(result("slice_by_size", {{"x", x}, {"begin", Constant::i32s({3, 0})}, {"size", Constant::i32s({2, 1})}}),
              HasSubstr("does not hold 2 elements from 3"));
  EXPECT_THAT(result("slice_by_index", {{"x", x}, {"begin", Constant::i32s({3, 0})}, {"end", Constant::i32s({2, 1})}}),
              HasSubstr("impossible dimension"));
}

TEST_F(OpInference, SliceUpdatesMustFit) {
  const Node x = half({4, 2, 32, 16});
  EXPECT_EQ(result("slice_update", {{"x", x}, {"update", half({1, 2, 8, 16})}, {"begin", ids({4})}, {"end", ids({4})}}),
            "fp16[4,2,32,16]");
  EXPECT_THAT(
      result("slice_update", {{"x", x}, {"update", half({1, 2, 33, 16})}, {"begin", ids({4})}, {"end", ids({4})}}),
      HasSubstr("does not fit the slice"));
  EXPECT_THAT(result("slice_update", {{"x", x},
                                      {"update", half({1, 2, 8, 16})},
                                      {"begin", Constant::i32s({0, 0, 0, 0})},
                                      {"end", Constant::i32s({1, 2, 7, 16})}}),
              HasSubstr("does not fit the slice"));
}

TEST_F(OpInference, StatesAreReadAndWrittenOnly) {
  const Node s = g_.state("kv", {DType::f16, {2, 4}});
  EXPECT_EQ(result("read_state", {{"input", s}}), "fp16[2,4]");
  EXPECT_THAT(result("identity", {{"x", s}}), HasSubstr("x is a state; read it with read_state first"));
  EXPECT_THAT(result("read_state", {{"input", half({2, 4})}}), HasSubstr("input must be a state"));
  EXPECT_NO_THROW((void)g_.ops("write_state", "w", {{"input", s}, {"data", half({2, 4})}}, 0));
  EXPECT_THROW((void)g_.ops("write_state", "w", {{"input", s}, {"data", half({2, 5})}}, 0), HostFailure);
}

TEST_F(OpInference, ParametersAreCheckedByName) {
  EXPECT_THAT(result("silu", {{"y", half({2})}}), HasSubstr("op silu 'y': has no parameter 'y'"));
  EXPECT_THAT(result("mul", {{"x", half({2})}}), HasSubstr("needs parameter 'y'"));
  EXPECT_THAT(result("silu", {{"x", half({2})}, {"x", half({2})}}), HasSubstr("'x' is given twice"));
  EXPECT_THAT(result("silu", {{"x", std::vector<Node>{}}}), HasSubstr("parameter 'x' has no value"));
  EXPECT_THAT(result("silu", {{"x", std::vector<Node>{half({2}), half({2})}}}), HasSubstr("takes one value"));
  EXPECT_THAT(result("silu", {{"x", Node{9999}}}), HasSubstr("no value has the id 9999"));
  EXPECT_THAT(result("reduce_sum", {{"x", half({2})}, {"axes", ids({1})}}), HasSubstr("axes must be a constant"));
  EXPECT_THAT(result("warp", {{"x", half({2})}}), HasSubstr("no such op"));
}

}  // namespace
}  // namespace d2c::host
