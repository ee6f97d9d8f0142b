#include "plugins/llama_decoder/kv_cache.hpp"

namespace d2c::llama {
namespace {

std::int32_t narrow(std::int64_t v) { return static_cast<std::int32_t>(v); }

}  // namespace

KvCache::KvCache(Graph& graph, const LlamaConfig& config, const GraphSettings& settings)
    : g_(graph),
      config_(config),
      settings_(settings),
      rows_(settings.kv == KvLayout::packed ? 2 * config.layers : config.layers) {
  const std::int64_t rows = settings.precision == DType::f32 ? 2 * rows_ : rows_;
  const auto state = [&](const char* name) {
    return g_.state(name, {DType::f16, {rows, config.kv_heads, settings.context, config.head_dim}});
  };
  if (settings.kv == KvLayout::packed) {
    keys_ = values_ = state("kv_cache");
  } else {
    keys_ = state("k_cache");
    values_ = state("v_cache");
  }
}

void KvCache::set_position(Node position, std::int64_t tokens) {
  tokens_ = tokens;
  begin_ = position;
  end_ = g_.op("add", "position_end", {{"x", position}, {"y", Constant::i32s({narrow(tokens)})}});
}

KeysValues KvCache::update(Blocks& blocks, std::int64_t layer, const KeysValues& fresh) {
  const bool packed = settings_.kv == KvLayout::packed;
  const std::string prefix = "model.layers." + std::to_string(layer) + ".cache.";
  return {remember(blocks, keys_, packed ? 2 * layer : layer, fresh.keys, prefix + "k"),
          remember(blocks, values_, packed ? 2 * layer + 1 : layer, fresh.values, prefix + "v")};
}

Node KvCache::remember(Blocks& blocks, Node state, std::int64_t row, Node fresh, const std::string& name) {
  const Node all = write(blocks, state, row, fresh, name);
  const Node rounded = read_row(blocks, all, row, name);
  if (settings_.precision == DType::f16) return rounded;
  const Node rest = left_over(blocks, all, row, fresh, name + "_rest");
  const Node all_rest = write(blocks, state, rows_ + row, rest, name + "_rest");
  return g_.op("add", name + "_whole",
               {{"x", rounded}, {"y", read_row(blocks, all_rest, rows_ + row, name + "_rest")}});
}

Node KvCache::write(Blocks& blocks, Node state, std::int64_t row, Node fresh, const std::string& name) {
  const Node old = g_.op("read_state", name + "_before", {{"input", state}});
  const Node updated = g_.op("slice_update", name + "_updated",
                             {{"x", old},
                              {"update", blocks.cast(fresh, DType::f16, name + "_fp16")},
                              {"begin", corner(row, 0, begin_, 0, name + "_begin")},
                              {"end", corner(row + 1, config_.kv_heads, end_, config_.head_dim, name + "_end")}});
  g_.ops("write_state", name + "_write", {{"input", state}, {"data", updated}}, 0);
  return g_.op("read_state", name + "_after", {{"input", state}});
}

Node KvCache::read_row(Blocks& blocks, Node all, std::int64_t row, const std::string& name) {
  const Node mine = g_.op(
      "slice_by_size", name,
      {{"x", all},
       {"begin", Constant::i32s({narrow(row), 0, 0, 0})},
       {"size", Constant::i32s({1, narrow(config_.kv_heads), narrow(settings_.context), narrow(config_.head_dim)})}});
  return blocks.cast(mine, settings_.precision, name + "_cast");
}

Node KvCache::left_over(Blocks& blocks, Node all, std::int64_t row, Node fresh, const std::string& name) {
  const Node kept =
      g_.op("slice_by_size", name + "_kept",
            {{"x", all},
             {"begin", corner(row, 0, begin_, 0, name + "_kept_begin")},
             {"size", Constant::i32s({1, narrow(config_.kv_heads), narrow(tokens_), narrow(config_.head_dim)})}});
  return g_.op("sub", name, {{"x", fresh}, {"y", blocks.cast(kept, settings_.precision, name + "_kept_cast")}});
}

Node KvCache::corner(std::int64_t row, std::int64_t head, Node position, std::int64_t column, const std::string& name) {
  const Node first = g_.constant(name + "_row", Constant::i32s({narrow(row), narrow(head)}));
  const Node last = g_.constant(name + "_column", Constant::i32s({narrow(column)}));
  return g_.op("concat", name,
               {{"values", std::vector<Node>{first, position, last}}, {"axis", 0}, {"interleave", false}});
}

}  // namespace d2c::llama
