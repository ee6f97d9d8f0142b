#include "host/graph/program_view.hpp"

#include "tests/unit/graph/plain_weights.hpp"

#include <d2c/graph.hpp>

#include <gtest/gtest.h>

#include <array>

namespace d2c::host {
namespace {

Program linear_program() {
  Program program;
  test::PlainWeights weights;
  FunctionBuilder builder(program, weights, "decode", [](d2c_code code, const char*) { return code; });
  Graph g(builder.c());
  const Node x = g.input("x", {DType::f16, {1, 8}});
  const Node w = g.weight({0, "a", "", D2C_PART_FULL, "mlp", {6, 8}});
  const Node y = g.op("linear", "y", {{"x", x}, {"weight", w}});
  g.output(g.op("mul", "scaled", {{"x", y}, {"y", Constant::real(DType::f16, 2)}}), "out");
  builder.finish();
  return program;
}

d2c_weight weight() { return {sizeof(d2c_weight), "weight_a", "0/a", TensorType{DType::f16, {6, 8}}.c(), nullptr}; }

TEST(ProgramView, ShowsWritersTheWholeProgram) {
  const std::array weights{weight()};
  const ProgramView view(linear_program(), weights, "decode", "iOS18");
  const d2c_program& p = view.c();
  ASSERT_EQ(p.function_count, 1u);
  EXPECT_STREQ(p.default_function, "decode");
  EXPECT_STREQ(p.deployment, "iOS18");
  const d2c_function& f = p.functions[0];
  EXPECT_STREQ(f.name, "decode");
  ASSERT_EQ(f.op_count, 2u);
  const d2c_op& linear = f.ops[0];
  EXPECT_STREQ(linear.type, "linear");
  ASSERT_EQ(linear.argument_count, 2u);
  const d2c_node& w = f.nodes[linear.arguments[1].values[0]];
  EXPECT_EQ(w.kind, D2C_NODE_WEIGHT);
  EXPECT_STREQ(p.weights[w.index].key, "0/a");
  const d2c_node& two = f.nodes[f.ops[1].arguments[1].values[0]];
  EXPECT_EQ(two.kind, D2C_NODE_CONSTANT);
  EXPECT_EQ(p.constants[two.index].size, 2u);
  ASSERT_EQ(f.output_count, 1u);
  EXPECT_STREQ(f.nodes[f.outputs[0]].name, "out");
}

TEST(ProgramView, RefusesWhatPointsNowhere) {
  const std::array weights{weight()};
  EXPECT_THROW(ProgramView(linear_program(), weights, "encode", "iOS18"), Error);
  EXPECT_THROW(ProgramView(linear_program(), {}, "decode", "iOS18"), Error);
}

}  // namespace
}  // namespace d2c::host
