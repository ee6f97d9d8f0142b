#include "host/graph/op_registry.hpp"

#include <utility>

namespace d2c::host {
namespace {

using Types = std::vector<TensorType>;

Types linear(const OpCall& op) {
  Shape out = op.shape("x");
  const Shape& weight = op.shape("weight");
  if (out.empty() || out.size() > 3) op.fail(op.describe("x") + " must have rank 1 to 3");
  if (weight.size() != 2) op.fail(op.describe("weight") + " must have rank 2");
  if (out.back() != weight[1]) op.fail(op.describe("x") + " and " + op.describe("weight") + " do not multiply");
  if (op.has("bias") && op.shape("bias") != Shape{weight[0]})
    op.fail(op.describe("bias") + " does not fit " + op.describe("weight"));
  out.back() = weight[0];
  return {{op.type("x").dtype, std::move(out)}};
}

Types matmul(const OpCall& op) {
  Shape x = op.shape("x"), y = op.shape("y");
  const auto refuse = [&] { op.fail(op.describe("x") + " and " + op.describe("y") + " do not multiply"); };
  if (x.size() < 2 || y.size() < 2) refuse();
  if (op.boolean_or("transpose_x", false)) std::swap(x.end()[-1], x.end()[-2]);
  if (op.boolean_or("transpose_y", false)) std::swap(y.end()[-1], y.end()[-2]);
  if (x.end()[-1] != y.end()[-2]) refuse();
  Shape out = broadcast(op, std::span(x).first(x.size() - 2), std::span(y).first(y.size() - 2));
  out.push_back(x.end()[-2]);
  out.push_back(y.end()[-1]);
  return {{op.type("x").dtype, std::move(out)}};
}

void check_attention_mask(const OpCall& op, const Shape& scores) {
  const Shape& mask = op.shape("attn_mask");
  if (mask.size() > scores.size() || mask.empty() || mask.back() != scores.back() ||
      broadcast(op, mask, scores) != scores)
    op.fail(op.describe("attn_mask") + " does not broadcast to the scores " + to_string(scores));
}

Types scaled_dot_product_attention(const OpCall& op) {
  const Shape &q = op.shape("query"), &k = op.shape("key"), &v = op.shape("value");
  const std::size_t rank = q.size();
  const auto refuse = [&](const char* why) {
    op.fail(op.describe("query") + ", " + op.describe("key") + " and " + op.describe("value") + " " + why);
  };
  if (rank < 3 || k.size() != rank || v.size() != rank) refuse("must share one rank of at least 3");
  // No broadcast here: grouped queries need their keys and values repeated first.
  for (std::size_t i = 0; i + 2 < rank; ++i)
    if (q[i] != k[i] || q[i] != v[i]) refuse("must have the same batch and head dimensions");
  if (q.back() != k.back() || k[rank - 2] != v[rank - 2]) refuse("do not fit together");
  Shape scores(q.begin(), q.end() - 1);
  scores.push_back(k[rank - 2]);
  if (op.has("attn_mask")) check_attention_mask(op, scores);
  Shape out(q.begin(), q.end() - 1);
  out.push_back(v.back());
  return {{op.type("query").dtype, std::move(out)}};
}

constexpr OpSpec kOps[] = {
    // Weight and bias may differ from x in type; the result has x's.
    {"linear",
     {{"x", kNumber}, {"weight", kNumber, kConstant, 'U'}, {"bias", kNumber, kConstant | kOptional, 'U'}},
     linear},
    {"matmul",
     {{"x", kNumber, kRequired, 'T'},
      {"y", kNumber, kRequired, 'T'},
      {"transpose_x", kBool, kConstant | kOptional},
      {"transpose_y", kBool, kConstant | kOptional}},
     matmul},
    {"scaled_dot_product_attention",
     {{"query", kFloat, kRequired, 'T'},
      {"key", kFloat, kRequired, 'T'},
      {"value", kFloat, kRequired, 'T'},
      {"attn_mask", kFloat | kBool, kOptional}},
     scaled_dot_product_attention},
};

}  // namespace

std::span<const OpSpec> matrix_ops() { return kOps; }

}  // namespace d2c::host
