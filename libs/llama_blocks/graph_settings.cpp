#include "libs/llama_blocks/graph_settings.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace d2c::llama {
namespace {

/// The choice that a text key names.
template <class T, std::size_t N>
T choice(const Value& graph, const char* key, const char* fallback, const std::pair<const char*, T> (&choices)[N]) {
  const std::string wanted = graph.text_or(key, fallback);
  std::string names;
  for (const auto& [name, value] : choices) {
    if (wanted == name) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  fail_usage("graph." + std::string(key) + ": '" + wanted + "' is not one of " + names);
}

KvLayout kv_layout(const Value& graph) {
  if (graph.text_or("kv", "packed") == "io")
    fail_usage("graph.kv: 'io' is not available yet; set graph.kv to packed or split");
  return choice<KvLayout>(graph, "kv", "packed", {{"packed", KvLayout::packed}, {"split", KvLayout::split}});
}

}  // namespace

GraphSettings GraphSettings::parse_uncached(const Value& graph) {
  GraphSettings s;
  s.attention = choice<AttentionForm>(graph, "attention", "explicit",
                                      {{"explicit", AttentionForm::explicit_ops}, {"fused", AttentionForm::fused}});
  s.precision = choice<DType>(graph, "precision", "fp16", {{"fp16", DType::f16}, {"fp32", DType::f32}});
  return s;
}

GraphSettings GraphSettings::parse(const Value& graph, const LlamaConfig& config) {
  GraphSettings s = parse_uncached(graph);
  s.context = graph.int_or("context", std::min<std::int64_t>(config.max_positions, 2048));
  if (s.context < 1 || s.context > std::min(config.max_positions, kMaxPositions))
    fail_usage("graph.context is " + std::to_string(s.context) + "; set it to 1.." +
               std::to_string(std::min(config.max_positions, kMaxPositions)) + " (the model's " +
               config.max_positions_key + " is " + std::to_string(config.max_positions) + ")");
  s.prefill = graph.int_or("prefill", std::min<std::int64_t>(s.context, 64));
  if (s.prefill < 1 || s.prefill > s.context)
    fail_usage("graph.prefill is " + std::to_string(s.prefill) + " but graph.context is " + std::to_string(s.context) +
               "; set graph.prefill to 1.." + std::to_string(s.context) + " or enlarge graph.context");
  s.kv = kv_layout(graph);
  return s;
}

const char* name_of(KvLayout layout) { return layout == KvLayout::packed ? "packed" : "split"; }

}  // namespace d2c::llama
