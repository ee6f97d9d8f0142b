#include "libs/llama_blocks/llama_config.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

namespace d2c::llama {
namespace {

constexpr std::int64_t kMaxToken = std::numeric_limits<std::int32_t>::max();

[[noreturn]] void refuse(const std::string& message) { fail_input("config.json: " + message); }

/// One table of the file; its name opens every message.
class Section {
 public:
  Section(const Value& table, std::string prefix) : table_(table), prefix_(std::move(prefix)) {}

  [[nodiscard]] const Value* find(std::string_view key) const { return table_.find(key); }
  /// As find, but null counts as present.
  [[nodiscard]] bool mentions(std::string_view key) const {
    return std::ranges::any_of(table_.members(), [&](const auto& member) { return member.first == key; });
  }

  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t largest) const {
    return checked_integer(key, require(key), largest);
  }
  [[nodiscard]] std::int64_t integer_or(std::string_view key, std::int64_t fallback, std::int64_t largest) const {
    const Value* v = find(key);
    return v == nullptr ? fallback : checked_integer(key, *v, largest);
  }
  [[nodiscard]] double positive(std::string_view key) const { return checked_positive(key, require(key)); }
  [[nodiscard]] double positive_or(std::string_view key, double fallback) const {
    const Value* v = find(key);
    return v == nullptr ? fallback : checked_positive(key, *v);
  }
  [[nodiscard]] bool flag(std::string_view key) const {
    const Value* v = find(key);
    if (v == nullptr) return false;
    if (!v->is_bool()) refuse(name(key) + " is " + v->kind_name() + ", not a boolean");
    return v->as_bool();
  }
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const {
    const Value* v = find(key);
    if (v == nullptr) return std::nullopt;
    if (!v->is_text()) refuse(name(key) + " is " + v->kind_name() + ", not a string");
    return v->as_text();
  }
  [[nodiscard]] std::string name(std::string_view key) const { return prefix_ + std::string(key); }

 private:
  [[nodiscard]] const Value& require(std::string_view key) const {
    if (const Value* v = find(key)) return *v;
    refuse("'" + name(key) + "' is missing");
  }
  [[nodiscard]] std::int64_t checked_integer(std::string_view key, const Value& v, std::int64_t largest) const {
    if (!v.is_integer()) refuse(name(key) + " is " + v.kind_name() + ", not an integer");
    if (v.as_int() < 1 || v.as_int() > largest)
      refuse(name(key) + " is " + std::to_string(v.as_int()) + ", outside 1.." + std::to_string(largest));
    return v.as_int();
  }
  [[nodiscard]] double checked_positive(std::string_view key, const Value& v) const {
    if (!v.is_number()) refuse(name(key) + " is " + v.kind_name() + ", not a number");
    const double d = v.as_real();
    if (!std::isfinite(d) || d <= 0) refuse(name(key) + " must be a positive number");
    return d;
  }

  const Value& table_;
  std::string prefix_;
};

enum class Family { llama, mistral, qwen2 };

Family family_of(const Section& c) {
  const std::string type = c.text("model_type").value_or("");
  if (type == "llama") return Family::llama;
  if (type == "mistral") return Family::mistral;
  if (type == "qwen2") return Family::qwen2;
  refuse("model_type '" + type + "' is not supported; llama, mistral and qwen2 are");
}

void check_supported(const Section& c) {
  const std::string activation = c.text("hidden_act").value_or("silu");
  if (activation != "silu") refuse("hidden_act '" + activation + "' is not supported, only 'silu' is");
  if (const Value* q = c.find("quantization_config")) {
    const Value* method = q->find("quant_method");
    refuse("the weights are quantized already (quantization_config" +
           (method != nullptr && method->is_text() ? ", " + method->as_text() : std::string()) +
           "); convert the unquantized model");
  }
}

struct RopeSection {
  std::string key;
  const Value* table = nullptr;
};

/// transformers 5 writes rope_parameters; before that rope_scaling, null for the plain form.
RopeSection find_rope(const Section& c) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Value* v = c.find(key);
    if (v == nullptr) continue;
    if (!v->is_table()) refuse(std::string(key) + " is " + v->kind_name() + ", not a table");
    return {key, v};
  }
  return {};
}

RopeKind rope_kind(const Section& rope) {
  const auto modern = rope.text("rope_type"), old = rope.text("type");
  if (modern && old && *modern != *old)
    refuse(rope.name("rope_type") + " '" + *modern + "' contradicts " + rope.name("type") + " '" + *old + "'");
  const std::string name = modern ? *modern : old.value_or("default");
  if (name == "default") return RopeKind::plain;
  if (name == "linear") return RopeKind::linear;
  if (name == "llama3") return RopeKind::llama3;
  refuse(rope.name("rope_type") + " '" + name + "' is not supported; default, linear and llama3 are");
}

void refuse_partial_rotation(const Section& s) {
  if (s.positive_or("partial_rotary_factor", 1) != 1)
    refuse(s.name("partial_rotary_factor") + " other than 1 is not supported");
}

RopeConfig parse_rope(const Section& c) {
  refuse_partial_rotation(c);
  RopeConfig rope;
  rope.theta = c.positive_or("rope_theta", rope.theta);
  const RopeSection found = find_rope(c);
  if (found.table == nullptr) return rope;
  const Section s(*found.table, found.key + ".");
  rope.theta = s.positive_or("rope_theta", rope.theta);
  rope.kind = rope_kind(s);
  refuse_partial_rotation(s);
  if (rope.kind == RopeKind::plain) return rope;
  rope.factor = s.positive("factor");
  if (rope.kind == RopeKind::linear) return rope;
  rope.low_freq_factor = s.positive("low_freq_factor");
  rope.high_freq_factor = s.positive("high_freq_factor");
  rope.original_context = s.integer("original_max_position_embeddings", kMaxToken);
  if (rope.high_freq_factor <= rope.low_freq_factor)
    refuse(s.name("high_freq_factor") + " must be greater than low_freq_factor");
  return rope;
}

void parse_biases(const Section& c, Family family, LlamaConfig& out) {
  out.qkv_bias = family == Family::qwen2 || (family == Family::llama && c.flag("attention_bias"));
  out.attention_output_bias = family == Family::llama && c.flag("attention_bias");
  out.mlp_bias = family == Family::llama && c.flag("mlp_bias");
}

void parse_positions(const Section& c, Family family, LlamaConfig& out) {
  out.max_positions = c.integer_or("max_position_embeddings", 2048, kMaxToken);
  const bool slides = family == Family::mistral || (family == Family::qwen2 && c.flag("use_sliding_window"));
  if (!slides || (c.mentions("sliding_window") && c.find("sliding_window") == nullptr)) return;
  const std::int64_t window = c.integer_or("sliding_window", 4096, kMaxToken);
  if (window >= out.max_positions) return;
  out.max_positions = window;
  out.max_positions_key = "sliding_window";
}

/// Mistral and Qwen2 have defaults of their own for an absent number of key-value heads, which no checkpoint relies on.
std::int64_t parse_kv_heads(const Section& c, Family family, std::int64_t heads) {
  return family == Family::llama ? c.integer_or("num_key_value_heads", heads, 1 << 12)
                                 : c.integer("num_key_value_heads", 1 << 12);
}

void parse_heads(const Section& c, Family family, LlamaConfig& out) {
  out.heads = c.integer("num_attention_heads", 1 << 12);
  out.kv_heads = parse_kv_heads(c, family, out.heads);
  if (out.heads % out.kv_heads != 0)
    refuse("num_attention_heads " + std::to_string(out.heads) + " is not a multiple of num_key_value_heads " +
           std::to_string(out.kv_heads));
  if (c.find("head_dim") == nullptr && out.hidden_size % out.heads != 0)
    refuse("hidden_size " + std::to_string(out.hidden_size) + " is not a multiple of num_attention_heads " +
           std::to_string(out.heads) + ", and there is no head_dim");
  out.head_dim = c.integer_or("head_dim", out.hidden_size / out.heads, 1 << 12);
  if (out.head_dim % 2 != 0 || out.head_dim == 0)
    refuse("head_dim " + std::to_string(out.head_dim) + " is odd; RoPE turns pairs of elements");
}

/// Absent, null, an id or a list of ids; negative ids mean "none".
std::vector<std::int64_t> token_ids(const Section& c, std::string_view key) {
  const Value* v = c.find(key);
  if (v == nullptr) return {};
  std::vector<std::int64_t> ids;
  const auto add = [&](const Value& id) {
    if (!id.is_integer() || id.as_int() > kMaxToken) refuse(c.name(key) + " must be a token id or a list of them");
    if (id.as_int() >= 0) ids.push_back(id.as_int());
  };
  if (!v->is_list()) add(*v);
  else
    for (const Value& id : v->items()) add(id);
  return ids;
}

std::string architecture_of(const Section& c) {
  const Value* list = c.find("architectures");
  if (list == nullptr || !list->is_list() || list->items().empty() || !list->items().front().is_text())
    return "LlamaForCausalLM";
  return list->items().front().as_text();
}

Value describe(const RopeConfig& rope) {
  static constexpr std::array kNames = {"default", "linear", "llama3"};
  Value v = Value::table();
  v.set("type", kNames[static_cast<std::size_t>(rope.kind)]);
  v.set("theta", rope.theta);
  if (rope.kind != RopeKind::plain) v.set("factor", rope.factor);
  if (rope.kind != RopeKind::llama3) return v;
  v.set("low_freq_factor", rope.low_freq_factor);
  v.set("high_freq_factor", rope.high_freq_factor);
  v.set("original_max_position_embeddings", rope.original_context);
  return v;
}

}  // namespace

LlamaConfig LlamaConfig::parse(const Value& config) {
  if (!config.is_table()) refuse(std::string("is ") + config.kind_name() + ", not a table");
  const Section c(config, "");
  const Family family = family_of(c);
  check_supported(c);
  LlamaConfig out;
  out.architecture = architecture_of(c);
  out.vocab_size = c.integer("vocab_size", 1 << 24);
  out.hidden_size = c.integer("hidden_size", 1 << 18);
  out.intermediate_size = c.integer("intermediate_size", 1 << 20);
  out.layers = c.integer("num_hidden_layers", 1 << 10);
  parse_heads(c, family, out);
  parse_positions(c, family, out);
  out.rms_norm_eps = c.positive_or("rms_norm_eps", 1e-6);
  out.tied = c.flag("tie_word_embeddings");
  parse_biases(c, family, out);
  out.rope = parse_rope(c);
  if (const auto bos = token_ids(c, "bos_token_id"); !bos.empty()) out.bos_token_id = bos.front();
  out.eos_token_ids = token_ids(c, "eos_token_id");
  return out;
}

Value describe(const LlamaConfig& c) {
  Value v = Value::table();
  v.set("architecture", c.architecture);
  v.set("vocab_size", c.vocab_size);
  v.set("hidden_size", c.hidden_size);
  v.set("intermediate_size", c.intermediate_size);
  v.set("layers", c.layers);
  v.set("heads", c.heads);
  v.set("kv_heads", c.kv_heads);
  v.set("head_dim", c.head_dim);
  v.set("rms_norm_eps", c.rms_norm_eps);
  v.set("bos_token_id", c.bos_token_id ? Value(*c.bos_token_id) : Value());
  v.set("eos_token_ids", Value::List(c.eos_token_ids.begin(), c.eos_token_ids.end()));
  v.set("rope", describe(c.rope));
  return v;
}

}  // namespace d2c::llama
