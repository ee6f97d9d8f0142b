// The config.json of a Llama model, checked. Mistral and Qwen2 are Llama but for attention biases and a sliding window.
#pragma once

#include <d2c/value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace d2c::llama {

enum class RopeKind { plain, linear, llama3 };

struct RopeConfig {
  RopeKind kind = RopeKind::plain;
  double theta = 10000;
  double factor = 1;           ///< linear, llama3
  double low_freq_factor = 0;  ///< llama3, as the next two
  double high_freq_factor = 0;
  std::int64_t original_context = 0;
};

struct LlamaConfig {
  std::string architecture;  ///< "LlamaForCausalLM"
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  /// The longest context computed exactly: within a sliding window every token still sees all before it.
  std::int64_t max_positions = 0;
  const char* max_positions_key = "max_position_embeddings";  ///< what bounds it: or "sliding_window"
  double rms_norm_eps = 0;
  bool tied = false;
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  RopeConfig rope;
  std::optional<std::int64_t> bos_token_id;
  std::vector<std::int64_t> eos_token_ids;

  /// Reads config.json with the defaults that transformers gives to absent keys. Anything this library does not compute
  /// exactly (another architecture, RoPE or activation, quantized weights) is Error(input) naming it.
  static LlamaConfig parse(const Value& config);
};

/// What a runtime needs to know about the model, for the package's metadata.
[[nodiscard]] Value describe(const LlamaConfig& config);

}  // namespace d2c::llama
