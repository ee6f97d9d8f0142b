#include "host/graph/op_registry.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

using Types = std::vector<TensorType>;

Types unary(const OpCall& op) { return {op.type("x")}; }

Types binary(const OpCall& op) { return {{op.type("x").dtype, broadcast(op, op.shape("x"), op.shape("y"))}}; }

Types comparison(const OpCall& op) { return {{DType::boolean, broadcast(op, op.shape("x"), op.shape("y"))}}; }

Types select(const OpCall& op) {
  const Shape branches = broadcast(op, op.shape("a"), op.shape("b"));
  // coremltools takes the result's shape from a and b alone, so nothing may be left to the condition.
  if (broadcast(op, op.shape("cond"), branches) != branches)
    op.fail(op.describe("a") + " and " + op.describe("b") + " must span the shape of cond " + op.type("cond").text());
  return {{op.type("a").dtype, branches}};
}

Types gelu(const OpCall& op) {
  static constexpr std::string_view kModes[] = {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"};
  if (op.has("mode") && std::ranges::find(kModes, op.text("mode")) == std::end(kModes))
    op.fail("mode '" + op.text("mode") + "' is not EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION");
  return unary(op);
}

Types softmax(const OpCall& op) {
  (void)op.axis_or("axis", -1, op.shape("x").size());
  return unary(op);
}

Types cumsum(const OpCall& op) {
  (void)op.axis_or("axis", 0, op.shape("x").size());
  return unary(op);
}

Types cast(const OpCall& op) {
  static constexpr DType kTargets[] = {DType::f16, DType::f32, DType::i32, DType::boolean,
                                       DType::i8,  DType::u8,  DType::i16, DType::u16};
  const std::string wanted = op.text("dtype");
  for (const DType t : kTargets)
    if (name_of(t) == wanted) return {{t, op.shape("x")}};
  op.fail("cannot cast to '" + wanted + "'");
}

constexpr OpSpec unary_op(const char* type, DTypes dtypes) { return {type, {{"x", dtypes}}, unary}; }
constexpr OpSpec binary_op(const char* type) {
  return {type, {{"x", kNumber, kRequired, 'T'}, {"y", kNumber, kRequired, 'T'}}, binary};
}
constexpr OpSpec comparison_op(const char* type) {
  return {type, {{"x", kNumber, kRequired, 'T'}, {"y", kNumber, kRequired, 'T'}}, comparison};
}

constexpr OpSpec kOps[] = {
    binary_op("add"),
    binary_op("sub"),
    binary_op("mul"),
    binary_op("real_div"),
    binary_op("maximum"),
    binary_op("minimum"),
    binary_op("floor_div"),
    binary_op("mod"),
    binary_op("pow"),
    comparison_op("greater"),
    comparison_op("greater_equal"),
    comparison_op("less"),
    comparison_op("less_equal"),
    comparison_op("equal"),
    comparison_op("not_equal"),
    {"logical_and", {{"x", kBool}, {"y", kBool}}, comparison},
    {"logical_or", {{"x", kBool}, {"y", kBool}}, comparison},
    {"logical_not", {{"x", kBool}}, unary},
    {"select",
     {{"cond", kBool}, {"a", kNumber | kBool, kRequired, 'T'}, {"b", kNumber | kBool, kRequired, 'T'}},
     select},
    unary_op("silu", kFloat),
    unary_op("sigmoid", kFloat),
    unary_op("tanh", kFloat),
    unary_op("relu", kFloat),
    unary_op("exp", kFloat),
    unary_op("sqrt", kFloat),
    unary_op("sin", kFloat),
    unary_op("cos", kFloat),
    unary_op("abs", kNumber),
    unary_op("square", kNumber),
    unary_op("identity", kTensor),
    // Epsilon may be fp16 or fp32 whatever x is. The default, 1e-12, is zero in fp16: emitters must choose.
    {"rsqrt", {{"x", kFloat}, {"epsilon", kFloat, kConstant}}, unary},
    {"gelu", {{"x", kFloat}, {"mode", kText, kConstant | kOptional}}, gelu},
    {"softmax", {{"x", kFloat}, {"axis", kI32, kConstant | kOptional}}, softmax},
    {"cumsum",
     {{"x", kNumber},
      {"axis", kI32, kConstant | kOptional},
      {"exclusive", kBool, kConstant | kOptional},
      {"reverse", kBool, kConstant | kOptional}},
     cumsum},
    {"cast", {{"x", kTensor}, {"dtype", kText, kConstant}}, cast},
};

}  // namespace

std::span<const OpSpec> elementwise_ops() { return kOps; }

}  // namespace d2c::host
