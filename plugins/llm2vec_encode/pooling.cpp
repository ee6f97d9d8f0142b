#include "plugins/llm2vec_encode/pooling.hpp"

namespace d2c::llama {
namespace {

/// fp32 [texts, tokens]: how much each token counts, before normalization.
Node token_weights(Graph& g, Pooling pooling, Node pooling_mask) {
  const Node counts = g.op("greater", "pooled", {{"x", pooling_mask}, {"y", Constant::i32(0)}});
  const Node ones = g.op("cast", "pooled_fp32", {{"x", counts}, {"dtype", "fp32"}});
  if (pooling == Pooling::mean) return ones;
  const bool from_end = pooling == Pooling::last_token;
  Node rank = g.op("cumsum", "pooled_rank", {{"x", ones}, {"axis", 1}, {"exclusive", false}, {"reverse", from_end}});
  if (pooling != Pooling::weighted_mean) {
    const Node first = g.op("equal", "pooled_first", {{"x", rank}, {"y", Constant::real(DType::f32, 1)}});
    rank = g.op("cast", "pooled_first_fp32", {{"x", first}, {"dtype", "fp32"}});
  }
  return g.op("mul", "pooled_weights", {{"x", rank}, {"y", ones}});
}

}  // namespace

Node pool(Graph& g, Pooling pooling, Node hidden, Node pooling_mask) {
  const Node weights = token_weights(g, pooling, pooling_mask);
  const Node column = g.op("expand_dims", "pooled_column", {{"x", weights}, {"axes", Constant::i32s({2})}});
  const Node weighted = g.op("mul", "weighted", {{"x", hidden}, {"y", column}});
  const Node sum =
      g.op("reduce_sum", "pooled_sum", {{"x", weighted}, {"axes", Constant::i32s({1})}, {"keep_dims", false}});
  const Node total =
      g.op("reduce_sum", "weight_sum", {{"x", weights}, {"axes", Constant::i32s({1})}, {"keep_dims", true}});
  // The weights add up to 1 or more, unless nothing counts.
  const Node divisor = g.op("maximum", "weight_divisor", {{"x", total}, {"y", Constant::real(DType::f32, 1)}});
  return g.op("real_div", "pooled_mean", {{"x", sum}, {"y", divisor}});
}

}  // namespace d2c::llama
