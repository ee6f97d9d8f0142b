#include "tests/unit/graph/function_under_test.hpp"

#include "host/graph/mil_name.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace d2c::host {
namespace {

using testing::HasSubstr;

const TensorType kHalf{DType::f16, {2}};

class FunctionBuilding : public test::FunctionUnderTest {
 protected:
  Node square(Node x, const std::string& name) { return g_.op("square", name, {{"x", x}}); }
  const GraphFunction& finished() {
    builder_.finish();
    return program_.functions().back();
  }
};

TEST(MilName, IsMadeLegal) {
  EXPECT_EQ(legal_mil_name("model.layers.0.q_proj"), "model_layers_0_q_proj");
  EXPECT_EQ(legal_mil_name("0cast"), "_0cast");
  EXPECT_EQ(legal_mil_name("state"), "_state");
  EXPECT_EQ(legal_mil_name(""), "_");
  EXPECT_TRUE(is_mil_name("kv_cache"));
  EXPECT_FALSE(is_mil_name("fp16") || is_mil_name("a.b") || is_mil_name("1a") || is_mil_name(""));
}

TEST_F(FunctionBuilding, MakesNamesUnique) {
  Node x = g_.input("x", kHalf);
  for (int i = 0; i < 3; ++i) x = square(x, "model.x");
  x = square(x, "x");
  x = square(x, "x_1");
  g_.output(x, "y");
  std::set<std::string> names;
  for (const GraphNode& n : finished().nodes) {
    EXPECT_TRUE(is_mil_name(n.name)) << n.name;
    EXPECT_TRUE(names.insert(n.name).second) << n.name;
  }
  EXPECT_TRUE(names.contains("model_x") && names.contains("model_x_1") && names.contains("y"));
}

TEST_F(FunctionBuilding, KeepsFeatureNamesAsTheyAre) {
  const Node x = g_.input("input_ids", kHalf);
  const Node other = square(x, "logits");
  g_.output(square(other, "head"), "logits");
  const GraphFunction& f = finished();
  EXPECT_EQ(f.nodes[f.outputs[0]].name, "logits");
  EXPECT_NE(f.nodes[other.id].name, "logits");
  EXPECT_EQ(f.ops[1].name, "logits");
}

TEST_F(FunctionBuilding, PassesInputsAndRepeatedOutputsThroughIdentity) {
  const Node x = g_.input("x", kHalf);
  const Node y = square(x, "y");
  g_.output(y, "a");
  g_.output(y, "b");
  g_.output(x, "c");
  const GraphFunction& f = finished();
  ASSERT_EQ(f.outputs.size(), 3u);
  EXPECT_EQ(f.ops.size(), 3u);
  EXPECT_EQ(f.ops[2].type, "identity");
}

TEST_F(FunctionBuilding, RefusesFeaturesThatCoreMLDoesNotTake) {
  EXPECT_THROW(g_.input("x", {DType::boolean, {1}}), HostFailure);
  EXPECT_THAT(message_, HasSubstr("inputs are fp16, fp32 or int32"));
  EXPECT_THROW(g_.state("s", {DType::f32, {1}}), HostFailure);
  EXPECT_THAT(message_, HasSubstr("states are fp16"));
  EXPECT_THROW(g_.input("a.b", kHalf), HostFailure);
  EXPECT_THROW(g_.input("x", {DType::f16, {0}}), HostFailure);
  EXPECT_THROW(g_.input("x", {DType::f16, {1 << 30, 1 << 30, 1 << 30}}), HostFailure);
  const Node x = g_.input("x", kHalf);
  EXPECT_THROW(g_.input("x", kHalf), HostFailure);
  EXPECT_THAT(message_, HasSubstr("'x' is taken"));
  EXPECT_THROW(g_.output(g_.op("greater", "c", {{"x", x}, {"y", x}}), "c"), HostFailure);
  EXPECT_THROW(g_.output(square(x, "q"), "x"), HostFailure);
  EXPECT_THAT(message_, HasSubstr("names two inputs, states or outputs"));
}

TEST_F(FunctionBuilding, SharesEqualConstantsAcrossFunctions) {
  const Constant two = Constant::real(DType::f16, 2), also_two = Constant::real(DType::f16, 2);
  const Node a = g_.constant("a", two), b = g_.constant("b", also_two);
  EXPECT_EQ(a.id, b.id);
  EXPECT_NE(g_.constant("c", Constant::reals(DType::f16, {1}, std::vector{2.0f})).id, a.id);
  FunctionBuilder other(program_, weights_, "g", [](d2c_code code, const char*) { return code; });
  Graph(other.c()).constant("d", two);
  EXPECT_EQ(program_.constants().size(), 2u);
}

TEST_F(FunctionBuilding, RefusesConstantsOfTheWrongSize) {
  Constant short_one = Constant::i32s({1, 2, 3});
  short_one.data.pop_back();
  EXPECT_THROW(g_.constant("c", short_one), HostFailure);
  EXPECT_THAT(message_, HasSubstr("takes 12 bytes, 11 are given"));
  Constant text = Constant::text("fp16");
  text.data.pop_back();
  EXPECT_THROW(g_.constant("t", text), HostFailure);
}

TEST_F(FunctionBuilding, GivesOneNodePerWeight) {
  const WeightRef a{0, "a", "", D2C_PART_FULL, "mlp", {4, 4}};
  EXPECT_EQ(g_.weight(a).id, g_.weight(a).id);
  EXPECT_THROW(g_.weight({0, "missing", "", D2C_PART_FULL, "mlp", {4, 4}}), HostFailure);
  EXPECT_EQ(message_, "no tensor 'missing'");
}

TEST_F(FunctionBuilding, ReportsWhatALookupCouldNot) {
  EXPECT_EQ(g_.adapter_rank("chat", "a"), 8);
  EXPECT_FALSE(g_.has_tensor(0, "missing"));
  EXPECT_EQ(g_.adapter_rank("broken", "a"), 0);
  EXPECT_THROW(g_.input("x", kHalf), HostFailure);
  EXPECT_EQ(message_, "no stack 'broken'");
  EXPECT_THROW(builder_.finish(), Error);
}

TEST_F(FunctionBuilding, NeedsAnOutput) { EXPECT_THROW(builder_.finish(), Error); }

TEST(ProgramRules, RefuseContradictions) {
  Program program;
  program.set_metadata("d2c.model", "{}");
  EXPECT_NO_THROW(program.set_metadata("d2c.model", "{}"));
  EXPECT_THROW(program.set_metadata("d2c.model", "[]"), Error);
  EXPECT_THROW(program.set_metadata("author", "{}"), Error);
  EXPECT_THROW(program.set_metadata("d2c.other", "{"), Error);
  const auto function = [](const char* name, Shape state) {
    return GraphFunction{name, {{"kv", D2C_NODE_STATE, 0, {DType::f16, std::move(state)}}}, {}, {}};
  };
  program.add_function(function("init", {4}));
  EXPECT_THROW(program.add_function(function("init", {4})), Error);
  EXPECT_THROW(program.add_function(function("decode", {5})), Error);
}

}  // namespace
}  // namespace d2c::host
