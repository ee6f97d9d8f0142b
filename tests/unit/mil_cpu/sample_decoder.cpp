#include "tests/unit/mil_cpu/sample_decoder.hpp"

#include <cmath>
#include <numeric>

namespace d2c::mil_cpu::test {
namespace {

/// The same numbers everywhere: a small linear congruence, in [-0.5, 0.5).
class Numbers {
 public:
  float next() {
    seed_ = seed_ * 1664525u + 1013904223u;
    return static_cast<float>(seed_ >> 8) / static_cast<float>(1 << 24) - 0.5F;
  }
  std::vector<float> take(std::int64_t count) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (float& v : out) v = next();
    return out;
  }

 private:
  std::uint32_t seed_ = 1;
};

constexpr DType kHalf = DType::f16;

class Decoder {
 public:
  Decoder(PackageBuilder& package, const SampleShape& shape, const std::string& name, std::int64_t tokens)
      : f_(package.function(name)), s_(shape), tokens_(tokens) {}

  void build(bool has_length) {
    f_.input("input_ids", {DType::i32, {1, tokens_}});
    f_.input("position", {DType::i32, {1}});
    if (has_length) f_.input("length", {DType::i32, {1}});
    keys_ = f_.state(s_.split_states ? "k_cache" : "kv_cache", cache_type());
    values_ = s_.split_states ? f_.state("v_cache", cache_type()) : keys_;
    make_positions();
    std::string x =
        f_.op("gather", "embedded", wide(s_.hidden),
              {{"x", matrix("embedding", s_.vocabulary, s_.hidden)}, {"indices", "input_ids"}, {"axis", 0}});
    x = add_attention(x);
    x = add_units(x);
    if (has_length) x = last(x);
    f_.op("linear", "logits", {kHalf, {1, has_length ? 1 : tokens_, s_.vocabulary}},
          {{"x", norm(x, "last", has_length ? 1 : tokens_)}, {"weight", matrix("head", s_.vocabulary, s_.hidden)}});
    f_.output("logits");
  }

 private:
  [[nodiscard]] TensorType wide(std::int64_t columns) const { return {kHalf, {1, tokens_, columns}}; }
  [[nodiscard]] TensorType cache_type() const {
    return {kHalf, {s_.split_states ? 1 : 2, s_.kv_heads, s_.context, s_.head_dim}};
  }

  std::string matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
    const TensorType type{kHalf, {rows, columns}};
    if (!s_.palettes) return f_.weight("w_" + name, Constant::reals(kHalf, type.shape, numbers_.take(rows * columns)));
    std::vector<int> indices;
    for (const float v : numbers_.take(rows * columns)) indices.push_back(static_cast<int>((v + 0.5F) * 16));
    return f_.constexpr_op("constexpr_lut_to_dense", "w_" + name, type,
                           {{"indices", packed(DType::u4, type.shape, indices)},
                            {"lut", Constant::reals(kHalf, {rows / 8, 1, 16, 1}, numbers_.take(rows / 8 * 16))}},
                           true);
  }

  void make_positions() {
    std::vector<std::int32_t> queries(static_cast<std::size_t>(tokens_)), keys(static_cast<std::size_t>(s_.context));
    std::iota(queries.begin(), queries.end(), 0);
    std::iota(keys.begin(), keys.end(), 0);
    f_.op("add", "end", {DType::i32, {1}}, {{"x", "position"}, {"y", Constant::i32s({static_cast<int>(tokens_)})}});
    f_.op("add", "rows", {DType::i32, {tokens_}}, {{"x", "position"}, {"y", Constant::i32s(queries)}});
    f_.op("reshape", "column", {DType::i32, {tokens_, 1}},
          {{"x", "rows"}, {"shape", Constant::i32s({static_cast<int>(tokens_), 1})}});
    f_.op("less_equal", "visible", {DType::boolean, {tokens_, s_.context}},
          {{"x", Constant::of<std::int32_t>(DType::i32, {1, s_.context}, keys)}, {"y", "column"}});
    const TensorType mask{DType::f32, {tokens_, s_.context}};
    f_.op("cast", "visible_fp32", mask, {{"x", "visible"}, {"dtype", Constant::text("fp32")}});
    f_.op("sub", "hidden", mask, {{"x", "visible_fp32"}, {"y", f32({}, {1})}});
    f_.op("mul", "bias", mask, {{"x", "hidden"}, {"y", f32({}, {1e4F})}});
    f_.op(
        "reshape", "mask", {DType::f32, {1, 1, 1, tokens_, s_.context}},
        {{"x", "bias"}, {"shape", Constant::i32s({1, 1, 1, static_cast<int>(tokens_), static_cast<int>(s_.context)})}});
    rotation("cos", [](float a) { return std::cos(a); });
    rotation("sin", [](float a) { return std::sin(a); });
  }

  template <class F>
  void rotation(const std::string& name, F f) {
    std::vector<float> table;
    for (std::int64_t p = 0; p < s_.context; ++p)
      for (std::int64_t d = 0; d < s_.head_dim; ++d)
        table.push_back(f(static_cast<float>(p) / std::pow(10.0F, static_cast<float>(d % (s_.head_dim / 2)))) *
                        (name == "sin" && d < s_.head_dim / 2 ? -1.0F : 1.0F));
    const std::string rows = f_.constant(name + "_table", Constant::reals(kHalf, {s_.context, s_.head_dim}, table));
    const std::string zero = f_.constant(name + "_zero", Constant::i32s({0}));
    const std::string begin = f_.op("concat", name + "_begin", {DType::i32, {2}},
                                    {{"values", std::vector<std::string>{"position", zero}}, {"axis", 0}});
    f_.op("slice_by_size", name, {kHalf, {tokens_, s_.head_dim}},
          {{"x", rows},
           {"begin", begin},
           {"size", Constant::i32s({static_cast<int>(tokens_), static_cast<int>(s_.head_dim)})}});
  }

  std::string norm(const std::string& x, const std::string& name, std::int64_t tokens) {
    const TensorType real{DType::f32, {1, tokens, s_.hidden}}, one{DType::f32, {1, tokens, 1}};
    const TensorType half{kHalf, real.shape};
    f_.op("cast", name + "_fp32", real, {{"x", x}, {"dtype", Constant::text("fp32")}});
    f_.op("mul", name + "_squares", real, {{"x", name + "_fp32"}, {"y", name + "_fp32"}});
    f_.op("reduce_mean", name + "_mean", one,
          {{"x", name + "_squares"}, {"axes", Constant::i32s({-1})}, {"keep_dims", true}});
    f_.op("rsqrt", name + "_rsqrt", one, {{"x", name + "_mean"}, {"epsilon", f32({}, {1e-5F})}});
    f_.op("mul", name + "_normal", real, {{"x", name + "_fp32"}, {"y", name + "_rsqrt"}});
    f_.op("cast", name + "_narrow", half, {{"x", name + "_normal"}, {"dtype", Constant::text("fp16")}});
    return f_.op("mul", name + "_scaled", half,
                 {{"x", name + "_narrow"}, {"y", Constant::reals(kHalf, {s_.hidden}, numbers_.take(s_.hidden))}});
  }

  std::string linear(const std::string& x, const std::string& name, std::int64_t rows, std::int64_t columns) {
    return f_.op("linear", name, wide(rows), {{"x", x}, {"weight", matrix(name, rows, columns)}});
  }

  std::string heads(const std::string& x, const std::string& name, std::int64_t count) {
    linear(x, name, count * s_.head_dim, s_.hidden);
    f_.op("reshape", name + "_split", {kHalf, {1, tokens_, count, s_.head_dim}},
          {{"x", name},
           {"shape",
            Constant::i32s({1, static_cast<int>(tokens_), static_cast<int>(count), static_cast<int>(s_.head_dim)})}});
    return f_.op("transpose", name + "_heads", {kHalf, {1, count, tokens_, s_.head_dim}},
                 {{"x", name + "_split"}, {"perm", Constant::i32s({0, 2, 1, 3})}});
  }

  std::string rotated(const std::string& x, const std::string& name, std::int64_t count) {
    const TensorType type{kHalf, {1, count, tokens_, s_.head_dim}};
    const TensorType half{kHalf, {1, count, tokens_, s_.head_dim / 2}};
    const auto halves = f_.ops("split", name + "_half", {half, half}, {{"x", x}, {"num_splits", 2}, {"axis", -1}});
    f_.op("concat", name + "_swapped", type,
          {{"values", std::vector<std::string>{halves[1], halves[0]}}, {"axis", -1}, {"interleave", false}});
    f_.op("mul", name + "_cos", type, {{"x", x}, {"y", "cos"}});
    f_.op("mul", name + "_sin", type, {{"x", name + "_swapped"}, {"y", "sin"}});
    return f_.op("add", name, type, {{"x", name + "_cos"}, {"y", name + "_sin"}});
  }

  std::string cached(const std::string& state, const std::string& fresh, int row, const std::string& name) {
    const auto corner = [&](const std::string& what, int first, int head, const std::string& at, int column) {
      const std::string a = f_.constant(name + what + "_a", Constant::i32s({first, head}));
      const std::string b = f_.constant(name + what + "_b", Constant::i32s({column}));
      return f_.op("concat", name + what, {DType::i32, {4}},
                   {{"values", std::vector<std::string>{a, at, b}}, {"axis", 0}, {"interleave", false}});
    };
    const std::string begin = corner("_from", row, 0, "position", 0);
    const std::string end = corner("_to", row + 1, static_cast<int>(s_.kv_heads), "end", static_cast<int>(s_.head_dim));
    f_.op("read_state", name + "_before", cache_type(), {{"input", state}});
    f_.op("slice_update", name + "_updated", cache_type(),
          {{"x", name + "_before"}, {"update", fresh}, {"begin", begin}, {"end", end}});
    f_.ops("write_state", name + "_write", {}, {{"input", state}, {"data", name + "_updated"}});
    f_.op("read_state", name + "_after", cache_type(), {{"input", state}});
    f_.op("slice_by_size", name, {kHalf, {1, s_.kv_heads, s_.context, s_.head_dim}},
          {{"x", name + "_after"},
           {"begin", Constant::i32s({row, 0, 0, 0})},
           {"size", Constant::i32s({1, static_cast<int>(s_.kv_heads), static_cast<int>(s_.context),
                                    static_cast<int>(s_.head_dim)})}});
    return f_.op("expand_dims", name + "_grouped", {kHalf, {1, s_.kv_heads, 1, s_.context, s_.head_dim}},
                 {{"x", name}, {"axes", Constant::i32s({2})}});
  }

  std::string add_attention(const std::string& x) {
    const std::string h = norm(x, "first", tokens_);
    const std::string k = cached(keys_, rotated(heads(h, "k", s_.kv_heads), "k_rope", s_.kv_heads), 0, "keys");
    const std::string v = cached(values_, heads(h, "v", s_.kv_heads), s_.split_states ? 0 : 1, "values");
    const std::int64_t group = s_.heads / s_.kv_heads;
    const TensorType grouped{kHalf, {1, s_.kv_heads, group, tokens_, s_.head_dim}};
    const TensorType scores{kHalf, {1, s_.kv_heads, group, tokens_, s_.context}};
    const TensorType weights{DType::f32, scores.shape};
    const auto ints = [](const Shape& shape) {
      return Constant::i32s(std::vector<std::int32_t>(shape.begin(), shape.end()));
    };
    f_.op("reshape", "q_grouped", grouped,
          {{"x", rotated(heads(h, "q", s_.heads), "q_rope", s_.heads)}, {"shape", ints(grouped.shape)}});
    f_.op("mul", "q_scaled", grouped, {{"x", "q_grouped"}, {"y", f16({}, {0.35F})}});
    f_.op("matmul", "scores", scores, {{"x", "q_scaled"}, {"y", k}, {"transpose_x", false}, {"transpose_y", true}});
    f_.op("cast", "scores_fp32", weights, {{"x", "scores"}, {"dtype", Constant::text("fp32")}});
    f_.op("add", "masked", weights, {{"x", "scores_fp32"}, {"y", "mask"}});
    f_.op("softmax", "weights", weights, {{"x", "masked"}, {"axis", -1}});
    f_.op("cast", "weights_fp16", scores, {{"x", "weights"}, {"dtype", Constant::text("fp16")}});
    f_.op("matmul", "mixed", grouped,
          {{"x", "weights_fp16"}, {"y", v}, {"transpose_x", false}, {"transpose_y", false}});
    f_.op("reshape", "ungrouped", {kHalf, {1, s_.heads, tokens_, s_.head_dim}},
          {{"x", "mixed"}, {"shape", ints({1, s_.heads, tokens_, s_.head_dim})}});
    f_.op("transpose", "heads_last", {kHalf, {1, tokens_, s_.heads, s_.head_dim}},
          {{"x", "ungrouped"}, {"perm", Constant::i32s({0, 2, 1, 3})}});
    f_.op("reshape", "joined", wide(s_.heads * s_.head_dim),
          {{"x", "heads_last"}, {"shape", ints({1, tokens_, s_.heads * s_.head_dim})}});
    return f_.op("add", "attended", wide(s_.hidden),
                 {{"x", x}, {"y", linear("joined", "o", s_.hidden, s_.heads * s_.head_dim)}});
  }

  std::string add_units(const std::string& x) {
    const std::int64_t units = 2 * s_.hidden;
    const std::string h = norm(x, "second", tokens_);
    f_.op("silu", "gate_silu", wide(units), {{"x", linear(h, "gate", units, s_.hidden)}});
    f_.op("mul", "gated", wide(units), {{"x", "gate_silu"}, {"y", linear(h, "up", units, s_.hidden)}});
    return f_.op("add", "fed", wide(s_.hidden), {{"x", x}, {"y", linear("gated", "down", s_.hidden, units)}});
  }

  std::string last(const std::string& x) {
    f_.op("sub", "last_token", {DType::i32, {1}}, {{"x", "length"}, {"y", Constant::i32s({1})}});
    const std::string zero = f_.constant("last_zero", Constant::i32s({0}));
    f_.op("concat", "last_begin", {DType::i32, {3}},
          {{"values", std::vector<std::string>{zero, "last_token", zero}}, {"axis", 0}, {"interleave", false}});
    return f_.op("slice_by_size", "last_row", {kHalf, {1, 1, s_.hidden}},
                 {{"x", x}, {"begin", "last_begin"}, {"size", Constant::i32s({1, 1, static_cast<int>(s_.hidden)})}});
  }

  FunctionBuilder f_;
  const SampleShape& s_;
  std::int64_t tokens_;
  Numbers numbers_;
  std::string keys_, values_;
};

Constant scalar(std::int32_t v) { return Constant::i32s({v}); }

}  // namespace

std::filesystem::path sample_decoder(const SampleShape& shape) {
  PackageBuilder package;
  Decoder(package, shape, "init", shape.prefill).build(true);
  Decoder(package, shape, "decode", 1).build(false);
  package.metadata("d2c.sample", "{}");
  return package.write();
}

std::vector<std::vector<float>> feed(Runner& runner, RunnerState& state, const SampleShape& shape,
                                     const std::vector<std::int32_t>& tokens) {
  const auto first = static_cast<std::int32_t>(shape.prefill);
  const std::vector<std::int32_t> chunk(tokens.begin(), tokens.begin() + first);
  std::vector<std::vector<float>> all;
  all.push_back(numbers(kHalf, call(runner, "init", &state,
                                    {{"input_ids", Constant::of<std::int32_t>(DType::i32, {1, shape.prefill}, chunk)},
                                     {"position", scalar(0)},
                                     {"length", scalar(first)}})["logits"]));
  for (auto i = static_cast<std::size_t>(first); i < tokens.size(); ++i)
    all.push_back(
        numbers(kHalf, call(runner, "decode", &state,
                            {{"input_ids", Constant::of<std::int32_t>(DType::i32, {1, 1}, std::span(&tokens[i], 1))},
                             {"position", scalar(static_cast<std::int32_t>(i))}})["logits"]));
  return all;
}

}  // namespace d2c::mil_cpu::test
