#include "plugins/source_synthetic/published_configs.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cstdint>

namespace d2c::source_synthetic {
namespace {

/// Where published configs of the family differ.
struct PublishedShape {
  std::string_view name;
  std::int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocabulary, context;
  double rope_theta;
  double rope_factor;  // of llama3 scaling; 0 where there is none
  bool tied;
  std::int64_t bos, eos;
};

constexpr PublishedShape kShapes[] = {
    {"llama3.1-8b", 4096, 14336, 32, 32, 8, 128, 128256, 131072, 500000, 8, false, 128000, 128001},
    {"llama3.1-70b", 8192, 28672, 80, 64, 8, 128, 128256, 131072, 500000, 8, false, 128000, 128001},
    {"llama3.2-1b", 2048, 8192, 16, 32, 8, 64, 128256, 131072, 500000, 32, true, 128000, 128001},
    {"llama3.2-3b", 3072, 8192, 28, 24, 8, 128, 128256, 131072, 500000, 32, true, 128000, 128001},
    {"dolphin3-llama3.1-8b", 4096, 14336, 32, 32, 8, 128, 128258, 131072, 500000, 8, false, 128000, 128256},
    {"smollm2-135m", 576, 1536, 30, 9, 3, 64, 49152, 8192, 100000, 0, true, 1, 2},
};

Value rope_scaling(double factor) {
  if (factor == 0) return {};
  return Value::Table{{"factor", factor},
                      {"high_freq_factor", 4.0},
                      {"low_freq_factor", 1.0},
                      {"original_max_position_embeddings", 8192},
                      {"rope_type", "llama3"}};
}

Value to_config(const PublishedShape& s) {
  return Value::Table{{"architectures", Value::List{"LlamaForCausalLM"}},
                      {"attention_bias", false},
                      {"attention_dropout", 0.0},
                      {"bos_token_id", s.bos},
                      {"eos_token_id", s.eos},
                      {"head_dim", s.head_dim},
                      {"hidden_act", "silu"},
                      {"hidden_size", s.hidden},
                      {"initializer_range", 0.02},
                      {"intermediate_size", s.intermediate},
                      {"max_position_embeddings", s.context},
                      {"mlp_bias", false},
                      {"model_type", "llama"},
                      {"num_attention_heads", s.heads},
                      {"num_hidden_layers", s.layers},
                      {"num_key_value_heads", s.kv_heads},
                      {"pretraining_tp", 1},
                      {"rms_norm_eps", 1e-5},
                      {"rope_scaling", rope_scaling(s.rope_factor)},
                      {"rope_theta", s.rope_theta},
                      {"tie_word_embeddings", s.tied},
                      {"torch_dtype", "bfloat16"},
                      {"use_cache", true},
                      {"vocab_size", s.vocabulary}};
}

}  // namespace

Value published_config(const std::string& name) {
  const auto* shape = std::ranges::find(kShapes, name, &PublishedShape::name);
  if (shape != std::end(kShapes)) return to_config(*shape);
  std::string known;
  for (const PublishedShape& s : kShapes) known.append(known.empty() ? "" : ", ").append(s.name);
  fail_input("synthetic:" + name + ": no published shape of that name; known are " + known +
             ", or give the path of a config.json");
}

}  // namespace d2c::source_synthetic
