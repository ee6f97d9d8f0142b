#include "plugins/source_gguf/llama_model.hpp"

#include "plugins/source_gguf/rope_scaling.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

namespace d2c::source_gguf {
namespace {

constexpr std::string_view kEmbedding = "token_embd.weight";
constexpr std::string_view kHead = "output.weight";
constexpr std::string_view kRopeFreqs = "rope_freqs.weight";

/// Beyond these no model is real and products of two stay within 63 bits.
constexpr std::int64_t kLargestSize = std::int64_t{1} << 30;
constexpr std::int64_t kMostLayers = 1 << 16;

struct Sizes {
  std::int64_t hidden, intermediate, layers, heads, key_value_heads, head, vocabulary;
};

/// One tensor of a layer. `rows` and `columns` (null: a vector) give its shape, that of a bias is the rows.
struct LayerPart {
  std::string_view gguf, hugging_face;
  std::int64_t (*rows)(const Sizes&);
  std::int64_t (*columns)(const Sizes&);
  bool rotary = false;
};

std::int64_t hidden(const Sizes& s) { return s.hidden; }
std::int64_t intermediate(const Sizes& s) { return s.intermediate; }
std::int64_t queries(const Sizes& s) { return s.heads * s.head; }
std::int64_t keys(const Sizes& s) { return s.key_value_heads * s.head; }

constexpr LayerPart kLayerParts[] = {
    {"attn_norm", "input_layernorm", hidden, nullptr},    {"attn_q", "self_attn.q_proj", queries, hidden, true},
    {"attn_k", "self_attn.k_proj", keys, hidden, true},   {"attn_v", "self_attn.v_proj", keys, hidden},
    {"attn_output", "self_attn.o_proj", hidden, queries}, {"ffn_norm", "post_attention_layernorm", hidden, nullptr},
    {"ffn_gate", "mlp.gate_proj", intermediate, hidden},  {"ffn_up", "mlp.up_proj", intermediate, hidden},
    {"ffn_down", "mlp.down_proj", hidden, intermediate},
};

const TensorRecord* find_tensor(const Header& header, std::string_view name) {
  const auto found =
      std::find_if(header.tensors.begin(), header.tensors.end(), [name](const auto& t) { return t.name == name; });
  return found == header.tensors.end() ? nullptr : &*found;
}

// ---------------------------------------------------------------------------------------------- metadata

/// Values of "llama.*" keys with errors that name the key.
class LlamaKeys {
 public:
  LlamaKeys(const ByteSource& source, const Metadata& metadata) : source_(source), metadata_(metadata) {}

  /// A size; per-layer arrays are accepted where all layers agree.
  [[nodiscard]] std::optional<std::int64_t> size(std::string_view key) const {
    const auto value = metadata_.is_array(key) ? uniform(key) : metadata_.integer(key);
    if (value && (*value <= 0 || *value > kLargestSize))
      metadata_.fail_at(key, "is " + std::to_string(*value) + ", which cannot be");
    return value;
  }
  [[nodiscard]] std::int64_t require_size(std::string_view key) const {
    if (const auto value = size(key)) return *value;
    metadata_.fail_at(key, "is missing");
  }
  [[nodiscard]] std::optional<double> positive(std::string_view key) const {
    const auto value = metadata_.real(key);
    if (value && !(*value > 0 && std::isfinite(*value))) metadata_.fail_at(key, "is not a positive number");
    return value;
  }

 private:
  std::optional<std::int64_t> uniform(std::string_view key) const {
    const std::vector<std::int64_t> values = read_integers(source_, key, *metadata_.array(key));
    if (values.empty() ||
        std::count(values.begin(), values.end(), values[0]) != static_cast<std::ptrdiff_t>(values.size())) {
      metadata_.fail_at(key, "differs from layer to layer, which Llama's architecture does not have");
    }
    return values[0];
  }

  const ByteSource& source_;
  const Metadata& metadata_;
};

void check_kind(const ByteSource& source, const Metadata& metadata) {
  const auto architecture = metadata.text("general.architecture");
  if (!architecture) metadata.fail_at("general.architecture", "is missing");
  if (*architecture != "llama") {
    metadata.fail_at("general.architecture",
                     "names the architecture " + in_quotes(*architecture) + "; only llama is supported");
  }
  const std::string type = metadata.text("general.type").value_or("model");
  if (type != "model") metadata.fail_at("general.type", "says that the file is " + in_quotes(type) + ", not a model");
  if (metadata.integer("split.count").value_or(1) > 1) {
    fail_input(source.name() + ": is one shard of a split model; join the shards first (llama-gguf-split --merge)");
  }
}

/// What other members of the family compute differently must not be dropped in silence.
void check_computation(const LlamaKeys& keys, const Metadata& metadata, const Sizes& sizes) {
  for (const char* key : {"llama.logit_scale", "llama.residual_scale", "llama.embedding_scale", "llama.attention.scale",
                          "llama.attention.clamp_kqv", "llama.attention.sliding_window",
                          "llama.attention.layer_norm_epsilon", "llama.attention.max_alibi_bias"}) {
    if (metadata.has(key)) metadata.fail_at(key, "asks for a computation that Llama's architecture does not have");
  }
  if (metadata.integer("llama.expert_count").value_or(0) > 0) {
    metadata.fail_at("llama.expert_count", "asks for a mixture of experts, which is not supported");
  }
  if (metadata.boolean("llama.use_parallel_residual").value_or(false)) {
    metadata.fail_at("llama.use_parallel_residual",
                     "asks for parallel residuals, which Llama's architecture does not have");
  }
  if (!metadata.boolean("llama.attention.causal").value_or(true))
    metadata.fail_at("llama.attention.causal", "is false; only causal models are supported");
  const auto require_head_size = [&](const char* key) {
    if (keys.size(key).value_or(sizes.head) != sizes.head) {
      metadata.fail_at(key, "is " + std::to_string(*keys.size(key)) + "; only the head size " +
                                std::to_string(sizes.head) + " is supported");
    }
  };
  require_head_size("llama.rope.dimension_count");
  require_head_size("llama.attention.value_length");
}

std::int64_t vocabulary_size(const ByteSource& source, const Header& header, const LlamaKeys& keys) {
  const TensorRecord* embedding = find_tensor(header, kEmbedding);
  if (embedding == nullptr) fail_input(source.name() + ": the tensor '" + std::string(kEmbedding) + "' is missing");
  const std::int64_t rows = embedding->shape[0];
  if (keys.size("llama.vocab_size").value_or(rows) != rows) {
    header.metadata.fail_at("llama.vocab_size", "is " + std::to_string(*keys.size("llama.vocab_size")) +
                                                    ", the embedding has " + std::to_string(rows) + " rows");
  }
  if (rows > kLargestSize)
    fail_input(source.name() + ": the tensor '" + std::string(kEmbedding) + "' has " + std::to_string(rows) + " rows");
  return rows;
}

Sizes read_sizes(const ByteSource& source, const Header& header, const LlamaKeys& keys) {
  Sizes s{};
  s.hidden = keys.require_size("llama.embedding_length");
  s.intermediate = keys.require_size("llama.feed_forward_length");
  s.layers = keys.require_size("llama.block_count");
  s.heads = keys.require_size("llama.attention.head_count");
  s.key_value_heads = keys.size("llama.attention.head_count_kv").value_or(s.heads);
  s.vocabulary = vocabulary_size(source, header, keys);
  const Metadata& m = header.metadata;
  if (s.layers > kMostLayers) m.fail_at("llama.block_count", "is " + std::to_string(s.layers) + ", which cannot be");
  if (s.heads % s.key_value_heads != 0) {
    m.fail_at("llama.attention.head_count_kv", "is " + std::to_string(s.key_value_heads) +
                                                   ", which does not divide the " + std::to_string(s.heads) + " heads");
  }
  const auto head = keys.size("llama.attention.key_length");
  if (!head && s.hidden % s.heads != 0)
    m.fail_at("llama.attention.head_count", "does not divide llama.embedding_length");
  s.head = head.value_or(s.hidden / s.heads);
  if (s.head % 2 != 0) m.fail_at("llama.attention.key_length", "is odd: " + std::to_string(s.head));
  return s;
}

// ---------------------------------------------------------------------------------------------- tensors

/// Maps names and checks shapes.
class TensorMap {
 public:
  TensorMap(const ByteSource& source, const Sizes& sizes) : source_(source), sizes_(sizes) {}

  [[nodiscard]] Weight map(const TensorRecord& tensor) const {
    if (tensor.name == kEmbedding)
      return weight(tensor, "model.embed_tokens.weight", {sizes_.vocabulary, sizes_.hidden});
    if (tensor.name == kHead) return weight(tensor, "lm_head.weight", {sizes_.vocabulary, sizes_.hidden});
    if (tensor.name == "output_norm.weight") return weight(tensor, "model.norm.weight", {sizes_.hidden});
    return map_layer(tensor);
  }

 private:
  Weight map_layer(const TensorRecord& tensor) const {
    constexpr std::string_view kPrefix = "blk.";
    const std::string_view name = tensor.name;
    const auto first = name.find('.', kPrefix.size());
    const auto last = name.rfind('.');
    if (!name.starts_with(kPrefix) || first == std::string_view::npos || last <= first) fail_unknown(tensor);
    const std::string_view number = name.substr(kPrefix.size(), first - kPrefix.size());
    const std::string_view suffix = name.substr(last + 1);
    const auto part = std::find_if(std::begin(kLayerParts), std::end(kLayerParts), [&](const LayerPart& p) {
      return p.gguf == name.substr(first + 1, last - first - 1);
    });
    if (part == std::end(kLayerParts) || !is_layer(number)) fail_unknown(tensor);
    const std::string target =
        "model.layers." + std::string(number) + "." + std::string(part->hugging_face) + "." + std::string(suffix);
    return layer_weight(tensor, *part, suffix, target);
  }

  Weight layer_weight(const TensorRecord& tensor, const LayerPart& part, std::string_view suffix,
                      const std::string& target) const {
    Shape shape{part.rows(sizes_)};
    if (suffix == "weight" && part.columns != nullptr) shape.push_back(part.columns(sizes_));
    else if (suffix != "weight" && (suffix != "bias" || part.columns == nullptr)) fail_unknown(tensor);
    Weight w = weight(tensor, target, shape);
    if (part.rotary) w.interleaved_rows = sizes_.head;
    return w;
  }

  Weight weight(const TensorRecord& tensor, std::string name, const Shape& shape) const {
    if (tensor.shape != shape) {
      fail(tensor, "has the shape " + to_string(tensor.shape) + " where the metadata ask for " + to_string(shape));
    }
    if (shape.size() == 1 && tensor.format->dequantize != nullptr) {
      fail(tensor, std::string("is a vector stored as ") + tensor.format->name + "; vectors are F32, F16 or BF16");
    }
    return {{std::move(name), {tensor.format->delivered, shape}, 0}, tensor, 0};
  }

  [[nodiscard]] bool is_layer(std::string_view number) const {
    std::int64_t n = -1;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), n);
    return error == std::errc() && n >= 0 && n < sizes_.layers && std::to_string(n) == number;
  }

  [[noreturn]] void fail(const TensorRecord& tensor, const std::string& problem) const {
    fail_input(source_.name() + ": tensor " + in_quotes(tensor.name) + " " + problem);
  }
  [[noreturn]] void fail_unknown(const TensorRecord& tensor) const {
    fail(tensor, "is no part of a Llama model of " + std::to_string(sizes_.layers) + " layers");
  }

  const ByteSource& source_;
  const Sizes& sizes_;
};

std::vector<Weight> map_tensors(const ByteSource& source, const Header& header, const Sizes& sizes) {
  const TensorMap map(source, sizes);
  std::vector<Weight> weights;
  for (const TensorRecord& t : header.tensors)
    if (t.name != kRopeFreqs) weights.push_back(map.map(t));
  return weights;
}

/// Every weight but the head and the biases must be there.
void check_complete(const ByteSource& source, const std::vector<Weight>& weights, const Sizes& sizes) {
  std::set<std::string_view> names;
  for (const Weight& w : weights) names.insert(w.stored.name);
  const auto require = [&](const std::string& name) {
    if (!names.contains(name)) fail_input(source.name() + ": the tensor '" + name + "' is missing");
  };
  require("output_norm.weight");
  for (std::int64_t layer = 0; layer < sizes.layers; ++layer)
    for (const LayerPart& part : kLayerParts)
      require("blk." + std::to_string(layer) + "." + std::string(part.gguf) + ".weight");
}

/// The content of rope_freqs.weight, nothing where the file has none.
std::vector<float> rope_divisors(const ByteSource& source, const Header& header, const Sizes& sizes) {
  const TensorRecord* tensor = find_tensor(header, kRopeFreqs);
  if (tensor == nullptr) return {};
  if (tensor->format->delivered != DType::f32 || tensor->shape != Shape{sizes.head / 2}) {
    fail_input(source.name() + ": tensor '" + tensor->name + "' is " + tensor->format->name + to_string(tensor->shape) +
               ", expected F32" + to_string(Shape{sizes.head / 2}));
  }
  std::vector<float> divisors(static_cast<std::size_t>(sizes.head / 2));
  source.read(tensor->offset, std::as_writable_bytes(std::span(divisors)));
  return divisors;
}

// ---------------------------------------------------------------------------------------------- config.json

bool any_bias(const std::vector<Weight>& weights, std::string_view block) {
  return std::any_of(weights.begin(), weights.end(), [block](const Weight& w) {
    return w.info.name.ends_with(".bias") && w.info.name.find(block) != std::string::npos;
  });
}

void set_token_ids(Value& config, const Metadata& metadata) {
  constexpr std::pair<const char*, const char*> kIds[] = {
      {"bos_token_id", "tokenizer.ggml.bos_token_id"},
      {"eos_token_id", "tokenizer.ggml.eos_token_id"},
      {"pad_token_id", "tokenizer.ggml.padding_token_id"},
  };
  for (const auto& [name, key] : kIds)
    if (const auto id = metadata.integer(key)) config.set(name, *id);
}

Value make_config(const Header& header, const LlamaKeys& keys, const Sizes& sizes, const std::vector<Weight>& weights,
                  std::span<const float> divisors) {
  const double theta = keys.positive("llama.rope.freq_base").value_or(10000);
  const auto epsilon = keys.positive("llama.attention.layer_norm_rms_epsilon");
  if (!epsilon) header.metadata.fail_at("llama.attention.layer_norm_rms_epsilon", "is missing");
  Value c = Value::table();
  c.set("architectures", Value::List{"LlamaForCausalLM"});
  c.set("model_type", "llama");
  c.set("hidden_act", "silu");
  c.set("hidden_size", sizes.hidden);
  c.set("intermediate_size", sizes.intermediate);
  c.set("num_hidden_layers", sizes.layers);
  c.set("num_attention_heads", sizes.heads);
  c.set("num_key_value_heads", sizes.key_value_heads);
  c.set("head_dim", sizes.head);
  c.set("vocab_size", sizes.vocabulary);
  c.set("max_position_embeddings", keys.require_size("llama.context_length"));
  c.set("rms_norm_eps", *epsilon);
  c.set("rope_theta", theta);
  c.set("rope_scaling", rope_scaling(header.metadata, divisors, theta));
  c.set("attention_bias", any_bias(weights, ".self_attn."));
  c.set("mlp_bias", any_bias(weights, ".mlp."));
  c.set("tie_word_embeddings", find_tensor(header, kHead) == nullptr);
  set_token_ids(c, header.metadata);
  c.set("torch_dtype", "float16");
  return c;
}

}  // namespace

LlamaModel read_llama_model(const ByteSource& source, const Header& header) {
  check_kind(source, header.metadata);
  const LlamaKeys llama_keys(source, header.metadata);
  const Sizes sizes = read_sizes(source, header, llama_keys);
  check_computation(llama_keys, header.metadata, sizes);
  std::vector<Weight> weights = map_tensors(source, header, sizes);
  check_complete(source, weights, sizes);
  const std::vector<float> divisors = rope_divisors(source, header, sizes);
  return {make_config(header, llama_keys, sizes, weights, divisors), std::move(weights)};
}

}  // namespace d2c::source_gguf
