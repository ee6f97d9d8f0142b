// Key/value caches that live in Core ML states.
#pragma once

#include "libs/llama_blocks/blocks.hpp"

#include <d2c/graph.hpp>

#include <cstdint>
#include <string>

namespace d2c::llama {

/// Rank 4 states [rows, kv heads, context, head dim] in fp16. Packed: one state, row 2l holds the keys of layer l and
/// row 2l+1 its values. Split: two states with row l each. States are fp16 whatever the graph computes in, so an fp32
/// graph has as many rows again for what fp16 left over of each value: both together keep 22 bits.
class KvCache {
 public:
  /// Adds the states; to be made before anything but inputs.
  KvCache(Graph& graph, const LlamaConfig& config, const GraphSettings& settings);

  /// Where this call's tokens go: `position` is an int32[1] node.
  void set_position(Node position, std::int64_t tokens);

  /// Writes a layer's new keys and values and returns the layer's whole rows. What lies beyond the tokens written so far
  /// is stale: mask it.
  [[nodiscard]] KeysValues update(Blocks& blocks, std::int64_t layer, const KeysValues& fresh);

 private:
  /// All of the layer's keys (or values) in the graph's precision, with `fresh` among them.
  Node remember(Blocks& blocks, Node state, std::int64_t row, Node fresh, const std::string& name);
  /// The whole state once `fresh` is in the given row.
  Node write(Blocks& blocks, Node state, std::int64_t row, Node fresh, const std::string& name);
  Node read_row(Blocks& blocks, Node all, std::int64_t row, const std::string& name);
  /// What of `fresh` the state could not hold.
  Node left_over(Blocks& blocks, Node all, std::int64_t row, Node fresh, const std::string& name);
  /// [row, kv head, position, column] as an int32[4] node.
  Node corner(std::int64_t row, std::int64_t head, Node position, std::int64_t column, const std::string& name);

  Graph& g_;
  const LlamaConfig& config_;
  const GraphSettings& settings_;
  std::int64_t rows_;   ///< of a state, without those for what fp16 leaves over
  Node keys_, values_;  ///< the same state when packed
  Node begin_, end_;
  std::int64_t tokens_ = 0;
};

}  // namespace d2c::llama
