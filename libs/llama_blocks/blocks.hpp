// The parts of a Llama graph that every function shares.
#pragma once

#include "libs/llama_blocks/graph_settings.hpp"
#include "libs/llama_blocks/llama_config.hpp"

#include <d2c/graph.hpp>
#include <d2c/plugin.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace d2c::llama {

/// Added to the scores of keys that must not be seen. exp() of it is zero, and fp16 holds it.
inline constexpr float kMasked = -3e4f;

/// The cos and sin rows of the tokens at hand, [tokens, head_dim] in the graph's precision.
struct Rotation {
  Node cos, sin;
};

/// Keys and values, each [texts, kv heads, positions, head dim] in the graph's precision.
struct KeysValues {
  Node keys, values;
};

/// Takes the keys and values of this call's tokens in a layer; returns those the queries look at.
using Attended = std::function<KeysValues(std::int64_t layer, const KeysValues& fresh)>;

/// Adds blocks to one function's graph. Activations are [texts, tokens, features] in the graph's precision; RMSNorm and
/// softmax compute in fp32.
class Blocks {
 public:
  /// Full weights come from the request's source and stack; its deltas are added to every linear and to the embedding
  /// as low-rank branches. All three references must outlive the blocks.
  Blocks(Graph& graph, const LlamaConfig& config, const GraphSettings& settings, const EmitRequest& request);

  /// [texts, tokens] ids to [texts, tokens, hidden].
  [[nodiscard]] Node embed(Node ids);

  /// All decoder layers. `mask` broadcasts to the scores; see `mask`.
  [[nodiscard]] Node layers(Node x, const Rotation& rotation, Node mask, const Attended& attended);

  /// The RMSNorm before the head, of any [..., hidden], in the type asked for.
  [[nodiscard]] Node final_norm(Node x, DType dtype);

  /// [.., hidden] to [.., vocabulary].
  [[nodiscard]] Node head(Node x);

  /// A mask for `layers` from a condition of shape [queries or 1, keys], or [texts, queries or 1, keys] where texts differ
  /// in it: zero where it holds, kMasked elsewhere.
  [[nodiscard]] Node mask(Node visible);

  /// Constant tables of the first `positions` positions, [positions, head_dim].
  [[nodiscard]] Rotation rotation_tables(std::int64_t positions);

  /// x in another element type; x itself where it has it already.
  [[nodiscard]] Node cast(Node x, DType dtype, const std::string& name);

 private:
  struct Projection {
    std::string tensor;  ///< "model.layers.0.self_attn.q_proj"
    const char* role;
    std::int64_t out, in;
    bool bias = false;
  };

  Node rms_norm(Node x, const std::string& tensor, DType dtype);
  Node linear(Node x, const Projection& p);
  Node add_bias(Node y, Node bias, const std::string& name);
  Node add_delta(Node y, Node x, const Projection& p, const Delta& delta);
  Node add_embedding_delta(Node x, Node ids, const std::string& tensor, const Delta& delta);
  Node combine(Node y, Node change, const Delta& delta, const std::string& name);
  Node adapter(const Delta& delta, const std::string& tensor, d2c_weight_part part);
  Node rows(Node y, std::int64_t count, const std::string& name);
  Node layer(Node x, std::int64_t index, const Rotation& rotation, Node mask, const Attended& attended);
  Node attention(Node h, std::int64_t index, const Rotation& rotation, Node mask, const Attended& attended);
  Node attend_explicit(Node q, const KeysValues& kv, Node mask, const std::string& name);
  Node attend_fused(Node q, const KeysValues& kv, Node mask, const std::string& name);
  Node mlp(Node h, const std::string& prefix);
  Node split_heads(Node x, std::int64_t heads, const std::string& name);
  Node rotate(Node x, const Rotation& rotation, const std::string& name);
  Node repeat_heads(Node x, const std::string& name);

  Graph& g_;
  const LlamaConfig& c_;
  const GraphSettings& settings_;
  const EmitRequest& request_;
};

}  // namespace d2c::llama
