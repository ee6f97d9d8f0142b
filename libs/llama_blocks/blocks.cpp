#include "libs/llama_blocks/blocks.hpp"

#include "libs/llama_blocks/rope.hpp"

#include <cmath>
#include <utility>

namespace d2c::llama {
namespace {

Constant ints(const Shape& values) {
  std::vector<std::int32_t> narrow;
  for (const std::int64_t v : values) narrow.push_back(static_cast<std::int32_t>(v));
  return Constant::i32s(narrow);
}

}  // namespace

Blocks::Blocks(Graph& graph, const LlamaConfig& config, const GraphSettings& settings, const EmitRequest& request)
    : g_(graph), c_(config), settings_(settings), request_(request) {}

Node Blocks::cast(Node x, DType dtype, const std::string& name) {
  if (g_.type(x).dtype == dtype) return x;
  return g_.op("cast", name, {{"x", x}, {"dtype", Constant::text(d2c::name_of(dtype))}});
}

// ---------------------------------------------------------------- embedding, head, masks, positions

Node Blocks::embed(Node ids) {
  const std::string tensor = "model.embed_tokens.weight";
  const Node table =
      g_.weight({request_.source, tensor, request_.stack, D2C_PART_FULL, "embedding", {c_.vocab_size, c_.hidden_size}});
  Node x = g_.op("gather", "embedding",
                 {{"x", table}, {"indices", ids}, {"axis", 0}, {"batch_dims", 0}, {"validate_indices", false}});
  x = cast(x, settings_.precision, "embedding_cast");
  for (const Delta& delta : request_.deltas)
    if (g_.adapter_rank(delta.stack, tensor) > 0) x = add_embedding_delta(x, ids, tensor, delta);
  return x;
}

Node Blocks::final_norm(Node x, DType dtype) { return rms_norm(x, "model.norm", dtype); }

Node Blocks::head(Node x) { return linear(x, {"lm_head", "lm_head", c_.vocab_size, c_.hidden_size}); }

Node Blocks::mask(Node visible) {
  const bool grouped = settings_.attention == AttentionForm::explicit_ops;
  const DType dtype = grouped ? DType::f32 : settings_.precision;
  Shape shape = g_.type(visible).shape;
  if (shape.size() == 2) shape.insert(shape.begin(), 1);
  shape.insert(shape.begin() + 1, grouped ? 2 : 1, 1);
  // Arithmetic on 1 and 0: coremltools infers the shape of a select with scalar branches as a scalar.
  const Node hidden =
      g_.op("sub", "mask_hidden", {{"x", cast(visible, dtype, "mask_visible")}, {"y", Constant::real(dtype, 1)}});
  const Node bias = g_.op("mul", "mask_bias", {{"x", hidden}, {"y", Constant::real(dtype, -kMasked)}});
  return g_.op("reshape", "mask", {{"x", bias}, {"shape", ints(shape)}});
}

Rotation Blocks::rotation_tables(std::int64_t positions) {
  const RopeTables tables = rope_tables(c_.rope, c_.head_dim, positions);
  const Shape shape{positions, c_.head_dim};
  return {g_.constant("rope_cos", Constant::reals(settings_.precision, shape, tables.cos)),
          g_.constant("rope_sin", Constant::reals(settings_.precision, shape, tables.sin))};
}

// ---------------------------------------------------------------- layers

Node Blocks::layers(Node x, const Rotation& rotation, Node mask, const Attended& attended) {
  for (std::int64_t i = 0; i < c_.layers; ++i) x = layer(x, i, rotation, mask, attended);
  return x;
}

Node Blocks::layer(Node x, std::int64_t index, const Rotation& rotation, Node mask, const Attended& attended) {
  const std::string prefix = "model.layers." + std::to_string(index) + ".";
  Node h = rms_norm(x, prefix + "input_layernorm", settings_.precision);
  x = g_.op("add", prefix + "attention_residual", {{"x", x}, {"y", attention(h, index, rotation, mask, attended)}});
  h = rms_norm(x, prefix + "post_attention_layernorm", settings_.precision);
  return g_.op("add", prefix + "mlp_residual", {{"x", x}, {"y", mlp(h, prefix + "mlp.")}});
}

Node Blocks::attention(Node h, std::int64_t index, const Rotation& rotation, Node mask, const Attended& attended) {
  const std::string p = "model.layers." + std::to_string(index) + ".self_attn.";
  const std::int64_t q_size = c_.heads * c_.head_dim, kv_size = c_.kv_heads * c_.head_dim;
  const auto project = [&](const char* name, std::int64_t out, std::int64_t in, bool bias, Node x) {
    return linear(x, {p + name, "attention", out, in, bias});
  };
  const Node q = split_heads(project("q_proj", q_size, c_.hidden_size, c_.qkv_bias, h), c_.heads, p + "q");
  const Node k = split_heads(project("k_proj", kv_size, c_.hidden_size, c_.qkv_bias, h), c_.kv_heads, p + "k");
  const Node v = split_heads(project("v_proj", kv_size, c_.hidden_size, c_.qkv_bias, h), c_.kv_heads, p + "v");
  const KeysValues kv = attended(index, {rotate(k, rotation, p + "k_rope"), v});
  const Node turned = rotate(q, rotation, p + "q_rope");
  Node y = settings_.attention == AttentionForm::fused ? attend_fused(turned, kv, mask, p)
                                                       : attend_explicit(turned, kv, mask, p);
  y = g_.op("transpose", p + "heads_last", {{"x", y}, {"perm", Constant::i32s({0, 2, 1, 3})}});
  const Shape in = g_.type(h).shape;
  y = g_.op("reshape", p + "joined", {{"x", y}, {"shape", ints({in[0], in[1], q_size})}});
  return project("o_proj", c_.hidden_size, q_size, c_.attention_output_bias, y);
}

Node Blocks::split_heads(Node x, std::int64_t heads, const std::string& name) {
  const Shape in = g_.type(x).shape;
  x = g_.op("reshape", name + "_split", {{"x", x}, {"shape", ints({in[0], in[1], heads, c_.head_dim})}});
  return g_.op("transpose", name + "_heads", {{"x", x}, {"perm", Constant::i32s({0, 2, 1, 3})}});
}

Node Blocks::rotate(Node x, const Rotation& rotation, const std::string& name) {
  const auto halves = g_.ops("split", name + "_half", {{"x", x}, {"num_splits", 2}, {"axis", -1}}, 2);
  const Node swapped =
      g_.op("concat", name + "_swapped",
            {{"values", std::vector<Node>{halves[1], halves[0]}}, {"axis", -1}, {"interleave", false}});
  const Node straight = g_.op("mul", name + "_cos", {{"x", x}, {"y", rotation.cos}});
  const Node crossed = g_.op("mul", name + "_sin", {{"x", swapped}, {"y", rotation.sin}});
  return g_.op("add", name, {{"x", straight}, {"y", crossed}});
}

Node Blocks::attend_explicit(Node q, const KeysValues& kv, Node mask, const std::string& p) {
  const Shape in = g_.type(q).shape;
  const Node grouped =
      g_.op("reshape", p + "q_grouped",
            {{"x", q}, {"shape", ints({in[0], c_.kv_heads, c_.heads / c_.kv_heads, in[2], c_.head_dim})}});
  const Node keys = g_.op("expand_dims", p + "keys", {{"x", kv.keys}, {"axes", Constant::i32s({2})}});
  const Node values = g_.op("expand_dims", p + "values", {{"x", kv.values}, {"axes", Constant::i32s({2})}});
  // Scaled before the product: a sum of head_dim products stays further from the end of fp16's range.
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c_.head_dim)));
  const Node scaled = g_.op("mul", p + "q_scaled", {{"x", grouped}, {"y", Constant::real(settings_.precision, scale)}});
  Node w = g_.op("matmul", p + "scores", {{"x", scaled}, {"y", keys}, {"transpose_x", false}, {"transpose_y", true}});
  w = g_.op("add", p + "masked", {{"x", cast(w, DType::f32, p + "scores_fp32")}, {"y", mask}});
  w = g_.op("softmax", p + "softmax", {{"x", w}, {"axis", -1}});
  w = cast(w, settings_.precision, p + "probabilities");
  const Node y =
      g_.op("matmul", p + "mixed", {{"x", w}, {"y", values}, {"transpose_x", false}, {"transpose_y", false}});
  return g_.op("reshape", p + "ungrouped", {{"x", y}, {"shape", ints(in)}});
}

Node Blocks::attend_fused(Node q, const KeysValues& kv, Node mask, const std::string& p) {
  return g_.op("scaled_dot_product_attention", p + "fused",
               {{"query", q},
                {"key", repeat_heads(kv.keys, p + "keys")},
                {"value", repeat_heads(kv.values, p + "values")},
                {"attn_mask", mask}});
}

Node Blocks::repeat_heads(Node x, const std::string& name) {
  const std::int64_t group = c_.heads / c_.kv_heads;
  if (group == 1) return x;
  const Shape in = g_.type(x).shape;
  x = g_.op("expand_dims", name + "_grouped", {{"x", x}, {"axes", Constant::i32s({2})}});
  x = g_.op("tile", name + "_tiled", {{"x", x}, {"reps", ints({1, 1, group, 1, 1})}});
  return g_.op("reshape", name + "_repeated", {{"x", x}, {"shape", ints({in[0], c_.heads, in[2], c_.head_dim})}});
}

Node Blocks::mlp(Node h, const std::string& p) {
  const auto project = [&](const char* name, std::int64_t out, std::int64_t in, Node x) {
    return linear(x, {p + name, "mlp", out, in, c_.mlp_bias});
  };
  const Node gate = g_.op("silu", p + "gate", {{"x", project("gate_proj", c_.intermediate_size, c_.hidden_size, h)}});
  const Node up = project("up_proj", c_.intermediate_size, c_.hidden_size, h);
  const Node gated = g_.op("mul", p + "gated", {{"x", gate}, {"y", up}});
  return project("down_proj", c_.hidden_size, c_.intermediate_size, gated);
}

// ---------------------------------------------------------------- norms and linears

Node Blocks::rms_norm(Node x, const std::string& tensor, DType dtype) {
  const Node wide = cast(x, DType::f32, tensor + ".fp32");
  const Node squares = g_.op("mul", tensor + ".squares", {{"x", wide}, {"y", wide}});
  const Node mean =
      g_.op("reduce_mean", tensor + ".mean", {{"x", squares}, {"axes", Constant::i32s({-1})}, {"keep_dims", true}});
  const Node scale = g_.op("rsqrt", tensor + ".rsqrt",
                           {{"x", mean}, {"epsilon", Constant::real(DType::f32, static_cast<float>(c_.rms_norm_eps))}});
  const Node normal = cast(g_.op("mul", tensor + ".normal", {{"x", wide}, {"y", scale}}), dtype, tensor + ".narrow");
  const Node weight =
      g_.weight({request_.source, tensor + ".weight", request_.stack, D2C_PART_FULL, "norm", {c_.hidden_size}});
  return g_.op("mul", tensor, {{"x", normal}, {"y", cast(weight, dtype, tensor + ".weight_cast")}});
}

Node Blocks::linear(Node x, const Projection& p) {
  const Node weight =
      g_.weight({request_.source, p.tensor + ".weight", request_.stack, D2C_PART_FULL, p.role, {p.out, p.in}});
  Node y;
  if (p.bias) {
    const Node bias = g_.weight({request_.source, p.tensor + ".bias", request_.stack, D2C_PART_FULL, "bias", {p.out}});
    const TensorType w = g_.type(weight), b = g_.type(bias);
    if (w.shape[0] == p.out && w.dtype == b.dtype) {
      y = g_.op("linear", p.tensor, {{"x", x}, {"weight", weight}, {"bias", bias}});
    } else {
      y = add_bias(rows(g_.op("linear", p.tensor, {{"x", x}, {"weight", weight}}), p.out, p.tensor), bias, p.tensor);
    }
  } else {
    y = rows(g_.op("linear", p.tensor, {{"x", x}, {"weight", weight}}), p.out, p.tensor);
  }
  for (const Delta& delta : request_.deltas)
    if (g_.adapter_rank(delta.stack, p.tensor + ".weight") > 0) y = add_delta(y, x, p, delta);
  return y;
}

Node Blocks::add_bias(Node y, Node bias, const std::string& name) {
  return g_.op("add", name + ".biased", {{"x", y}, {"y", cast(bias, settings_.precision, name + ".bias_cast")}});
}

Node Blocks::rows(Node y, std::int64_t count, const std::string& name) {
  Shape size = g_.type(y).shape;
  if (size.back() == count) return y;
  size.back() = count;
  return g_.op("slice_by_size", name + ".unpadded",
               {{"x", y}, {"begin", ints(Shape(size.size(), 0))}, {"size", ints(size)}});
}

// ---------------------------------------------------------------- unmerged adapters

Node Blocks::adapter(const Delta& delta, const std::string& tensor, d2c_weight_part part) {
  return g_.weight({request_.source, tensor, delta.stack, part, "lora", {}});
}

Node Blocks::combine(Node y, Node change, const Delta& delta, const std::string& name) {
  if (delta.sign != 1 && delta.sign != -1)
    fail(Code::plugin, "the delta of stack '" + delta.stack + "' has the sign " + std::to_string(delta.sign));
  return g_.op(delta.sign > 0 ? "add" : "sub", name, {{"x", y}, {"y", change}});
}

Node Blocks::add_delta(Node y, Node x, const Projection& p, const Delta& delta) {
  const std::string tensor = p.tensor + ".weight", name = p.tensor + "." + delta.stack;
  const std::int64_t rank = g_.adapter_rank(delta.stack, tensor);
  const Node down = g_.op("linear", name + "_a", {{"x", x}, {"weight", adapter(delta, tensor, D2C_PART_LORA_A)}});
  const Node up = g_.op("linear", name + "_b",
                        {{"x", rows(down, rank, name + "_a")}, {"weight", adapter(delta, tensor, D2C_PART_LORA_B)}});
  return combine(y, rows(up, p.out, name + "_b"), delta, name);
}

Node Blocks::add_embedding_delta(Node x, Node ids, const std::string& tensor, const Delta& delta) {
  const std::string name = "embedding_" + delta.stack;
  const Node picked = g_.op("gather", name + "_b",
                            {{"x", adapter(delta, tensor, D2C_PART_LORA_B)},
                             {"indices", ids},
                             {"axis", 0},
                             {"batch_dims", 0},
                             {"validate_indices", false}});
  const Node a = cast(adapter(delta, tensor, D2C_PART_LORA_A), settings_.precision, name + "_a_cast");
  const Node change = g_.op("matmul", name + "_ba",
                            {{"x", cast(picked, settings_.precision, name + "_b_cast")},
                             {"y", a},
                             {"transpose_x", false},
                             {"transpose_y", false}});
  return combine(x, change, delta, name);
}

}  // namespace d2c::llama
