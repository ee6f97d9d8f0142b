#include "plugins/source_synthetic/tensor_catalogue.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

namespace d2c::source_synthetic {
namespace {

constexpr std::int64_t kMaxLayers = 4096;
constexpr std::int64_t kMaxDimension = std::int64_t{1} << 24;  // two of them multiply far below 2^63

std::int64_t size_of(const Value& config, const char* key, std::int64_t largest, std::optional<std::int64_t> fallback,
                     const std::string& where) {
  const Value* value = config.find(key);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr) fail_input(where + ": has no " + key);
  if (!value->is_integer() || value->as_int() < 1 || value->as_int() > largest)
    fail_input(where + ": " + key + " is not an integer from 1 to " + std::to_string(largest));
  return value->as_int();
}

bool flag_of(const Value& config, const char* key, const std::string& where) {
  const Value* value = config.find(key);
  if (value != nullptr && !value->is_bool()) fail_input(where + ": " + key + " is neither true nor false");
  return value != nullptr && value->as_bool();
}

class Catalogue {
 public:
  Catalogue(const Value& config, const std::string& where)
      : hidden_(size_of(config, "hidden_size", kMaxDimension, {}, where)),
        intermediate_(size_of(config, "intermediate_size", kMaxDimension, {}, where)),
        vocabulary_(size_of(config, "vocab_size", kMaxDimension, {}, where)),
        layers_(size_of(config, "num_hidden_layers", kMaxLayers, {}, where)),
        heads_(size_of(config, "num_attention_heads", kMaxDimension, {}, where)),
        kv_heads_(size_of(config, "num_key_value_heads", kMaxDimension, heads_, where)),
        head_dim_(size_of(config, "head_dim", kMaxDimension, std::max<std::int64_t>(hidden_ / heads_, 1), where)),
        attention_bias_(flag_of(config, "attention_bias", where)),
        mlp_bias_(flag_of(config, "mlp_bias", where)),
        tied_(flag_of(config, "tie_word_embeddings", where)) {
    if (heads_ * head_dim_ > kMaxDimension || kv_heads_ * head_dim_ > kMaxDimension)
      fail_input(where + ": the attention heads together are wider than " + std::to_string(kMaxDimension));
  }

  std::vector<TensorInfo> list() && {
    add("model.embed_tokens.weight", {vocabulary_, hidden_});
    for (std::int64_t layer = 0; layer < layers_; ++layer) add_layer("model.layers." + std::to_string(layer) + ".");
    add("model.norm.weight", {hidden_});
    if (!tied_) add("lm_head.weight", {vocabulary_, hidden_});
    return std::move(tensors_);
  }

 private:
  void add(std::string name, Shape shape) { tensors_.push_back({std::move(name), {DType::bf16, std::move(shape)}, 0}); }

  void add_linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    add(name + ".weight", {out, in});
    if (bias) add(name + ".bias", {out});
  }

  void add_layer(const std::string& prefix) {
    add(prefix + "input_layernorm.weight", {hidden_});
    add_linear(prefix + "self_attn.q_proj", heads_ * head_dim_, hidden_, attention_bias_);
    add_linear(prefix + "self_attn.k_proj", kv_heads_ * head_dim_, hidden_, attention_bias_);
    add_linear(prefix + "self_attn.v_proj", kv_heads_ * head_dim_, hidden_, attention_bias_);
    add_linear(prefix + "self_attn.o_proj", hidden_, heads_ * head_dim_, attention_bias_);
    add(prefix + "post_attention_layernorm.weight", {hidden_});
    add_linear(prefix + "mlp.gate_proj", intermediate_, hidden_, mlp_bias_);
    add_linear(prefix + "mlp.up_proj", intermediate_, hidden_, mlp_bias_);
    add_linear(prefix + "mlp.down_proj", hidden_, intermediate_, mlp_bias_);
  }

  std::int64_t hidden_, intermediate_, vocabulary_, layers_, heads_, kv_heads_, head_dim_;
  bool attention_bias_, mlp_bias_, tied_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace

std::vector<TensorInfo> llama_tensors(const Value& config, const std::string& where) {
  if (!config.is_table()) fail_input(where + ": is not a JSON object");
  if (const Value* type = config.find("model_type"); type != nullptr && *type != Value("llama"))
    fail_input(where + ": model_type is not \"llama\"; only Llama shapes can be made up");
  return Catalogue(config, where).list();
}

}  // namespace d2c::source_synthetic
