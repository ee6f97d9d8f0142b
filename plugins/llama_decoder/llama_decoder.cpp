#include "plugins/llama_decoder/llama_decoder.hpp"

#include "libs/json/json.hpp"
#include "libs/llama_blocks/blocks.hpp"
#include "plugins/llama_decoder/kv_cache.hpp"

#include <numeric>
#include <optional>

namespace d2c::llama {
namespace {

std::int32_t narrow(std::int64_t v) { return static_cast<std::int32_t>(v); }

Constant counting(std::int64_t count, Shape shape) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return Constant::of<std::int32_t>(DType::i32, std::move(shape), values);
}

/// True where a key's position is at most the query's: [tokens, context]. It also hides what earlier sequences and right
/// padding left in the cache, because that lies beyond the last query.
Node causal(Graph& g, Node position, std::int64_t tokens, std::int64_t context) {
  const Node queries = g.op("add", "query_positions", {{"x", position}, {"y", counting(tokens, {tokens})}});
  const Node column = g.op("reshape", "query_column", {{"x", queries}, {"shape", Constant::i32s({narrow(tokens), 1})}});
  const Node keys = g.constant("key_positions", counting(context, {1, context}));
  return g.op("less_equal", "visible", {{"x", keys}, {"y", column}});
}

Rotation rotation_at(Graph& g, Blocks& blocks, const LlamaConfig& config, const GraphSettings& settings, Node position,
                     std::int64_t tokens) {
  const Rotation tables = blocks.rotation_tables(settings.context);
  const Node zero = g.constant("first_column", Constant::i32s({0}));
  const Node begin =
      g.op("concat", "rope_begin", {{"values", std::vector<Node>{position, zero}}, {"axis", 0}, {"interleave", false}});
  const auto rows = [&](Node table, const char* name) {
    return g.op("slice_by_size", name,
                {{"x", table}, {"begin", begin}, {"size", Constant::i32s({narrow(tokens), narrow(config.head_dim)})}});
  };
  return {rows(tables.cos, "cos"), rows(tables.sin, "sin")};
}

/// [1, tokens, hidden] to the [1, 1, hidden] of the last valid token.
Node last_valid(Graph& g, Node x, Node length) {
  const std::int64_t hidden = g.type(x).shape.back();
  const Node last = g.op("sub", "last_token", {{"x", length}, {"y", Constant::i32s({1})}});
  const Node zero = g.constant("first_column", Constant::i32s({0}));
  const Node begin = g.op("concat", "last_begin",
                          {{"values", std::vector<Node>{zero, last, zero}}, {"axis", 0}, {"interleave", false}});
  return g.op("slice_by_size", "last_row",
              {{"x", x}, {"begin", begin}, {"size", Constant::i32s({1, 1, narrow(hidden)})}});
}

std::string metadata(const LlamaConfig& config, const GraphSettings& settings) {
  Value v = Value::table();
  v.set("version", 1);
  const Value model = describe(config);
  for (const auto& [key, value] : model.members()) v.set(key, value);
  v.set("context", settings.context);
  v.set("prefill", settings.prefill);
  v.set("kv", name_of(settings.kv));
  v.set("precision", d2c::name_of(settings.precision));
  return json::dump(v);
}

/// Which of a call's tokens get logits.
enum class Rows { last_valid, all };

void emit_step(const EmitRequest& request, Graph& g, const LlamaConfig& config, const GraphSettings& settings,
               std::int64_t tokens, Rows rows) {
  const Node ids = g.input("input_ids", {DType::i32, {1, tokens}});
  const Node position = g.input("position", {DType::i32, {1}});
  std::optional<Node> length;
  if (rows == Rows::last_valid) length = g.input("length", {DType::i32, {1}});
  KvCache cache(g, config, settings);
  cache.set_position(position, tokens);

  Blocks blocks(g, config, settings, request);
  const Rotation rotation = rotation_at(g, blocks, config, settings, position, tokens);
  const Node mask = blocks.mask(causal(g, position, tokens, settings.context));
  Node x = blocks.layers(blocks.embed(ids), rotation, mask, [&](std::int64_t layer, const KeysValues& fresh) {
    return cache.update(blocks, layer, fresh);
  });
  if (length) x = last_valid(g, x, *length);
  const std::int64_t count = length ? 1 : tokens;
  x = g.op("reshape", "last_hidden",
           {{"x", x}, {"shape", Constant::i32s({narrow(count), narrow(config.hidden_size)})}});
  g.output(blocks.head(blocks.final_norm(x, settings.precision)), "logits");
  g.metadata("d2c.model", metadata(config, settings));
}

/// "decode" and, for other adapters on the same base, "decode_NAME".
bool is_called(const std::string& function, const std::string& name) {
  return function == name || function.starts_with(name + "_");
}

}  // namespace

void LlamaDecoder::emit(const EmitRequest& request, Graph& graph) {
  const LlamaConfig config = LlamaConfig::parse(request.config);
  const GraphSettings settings = GraphSettings::parse(request.settings.at("graph"), config);
  if (is_called(request.function, "init"))
    emit_step(request, graph, config, settings, settings.prefill, all_logits_ ? Rows::all : Rows::last_valid);
  else if (is_called(request.function, "decode")) emit_step(request, graph, config, settings, 1, Rows::all);
  else
    fail_usage("llama_decoder builds the functions init and decode, also as init_NAME and decode_NAME, not '" +
               request.function + "'");
}

}  // namespace d2c::llama
