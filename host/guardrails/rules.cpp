#include "host/guardrails/guardrails.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

namespace d2c::host {
namespace {

using Found = std::optional<std::string>;

std::string size_text(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

std::uint64_t state_bytes(const PackageFacts& facts) {
  std::map<std::string, std::uint64_t> states;  // functions share them by name
  for (const FunctionFacts& f : facts.functions)
    for (const Feature& s : f.states) states[s.name] = static_cast<std::uint64_t>(s.type.bytes());
  std::uint64_t bytes = 0;
  for (const auto& [name, size] : states) bytes += size;
  return bytes;
}

/// "init: kv_cache fp16[4,2,64,30]" of the first state that `wrong` says yes to.
template <class Wrong>
Found find_state(const PackageFacts& facts, Wrong wrong) {
  for (const FunctionFacts& f : facts.functions)
    for (const Feature& s : f.states)
      if (wrong(s.type)) return f.name + ": " + s.name + " " + s.type.text();
  return std::nullopt;
}

/// "up_proj [8,8] and 3 more" of the weights that `wrong` says yes to.
template <class Wrong>
Found find_weights(const PackageFacts& facts, Wrong wrong) {
  const WeightFacts* first = nullptr;
  std::size_t more = 0;
  for (const WeightFacts& w : facts.weights) {
    if (!wrong(w)) continue;
    if (first == nullptr) first = &w;
    else ++more;
  }
  if (first == nullptr) return std::nullopt;
  return first->name + " " + to_string(first->shape) + (more == 0 ? "" : " and " + std::to_string(more) + " more");
}

bool is_palette(const WeightFacts& w) { return w.form == WeightFacts::Form::palette; }
bool is_blockwise(const WeightFacts& w) { return w.form == WeightFacts::Form::blockwise; }

// ---------------------------------------------------------------- the rules

Found version_of_features(const PackageFacts& facts) {
  if (facts.specification_version >= 9) return std::nullopt;
  const bool states = find_state(facts, [](const TensorType&) { return true; }).has_value();
  const bool grouped = find_weights(facts, [](const WeightFacts& w) { return w.group != 0 || w.bits < 8; }).has_value();
  if (!states && !grouped && facts.functions.size() < 2) return std::nullopt;
  return "specification version " + std::to_string(facts.specification_version);
}

Found state_type(const PackageFacts& facts) {
  return find_state(facts, [](const TensorType& t) { return t.dtype != DType::f16; });
}

Found output_type(const PackageFacts& facts) {
  for (const FunctionFacts& f : facts.functions)
    for (const Feature& o : f.outputs)
      if (o.type.dtype != DType::f16 && o.type.dtype != DType::f32 && o.type.dtype != DType::i32)
        return f.name + ": " + o.name + " " + o.type.text();
  return std::nullopt;
}

Found rank(const PackageFacts& facts) {
  constexpr std::size_t kMost = 5;
  for (const FunctionFacts& f : facts.functions)
    for (const auto* features : {&f.inputs, &f.states, &f.outputs})
      for (const Feature& x : *features)
        if (x.type.shape.size() > kMost) return f.name + ": " + x.name + " " + x.type.text();
  return std::nullopt;
}

Found weight_ceiling(const PackageFacts& facts) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 31;
  if (facts.weight_bytes <= kMost) return std::nullopt;
  return size_text(facts.weight_bytes) + " of weights";
}

Found state_width(const PackageFacts& facts) {
  return find_state(facts, [](const TensorType& t) { return !t.shape.empty() && t.shape.back() % 32 != 0; });
}

Found state_count(const PackageFacts& facts) {
  for (const FunctionFacts& f : facts.functions)
    if (f.states.size() > 1) return f.name + " has " + std::to_string(f.states.size()) + " states";
  return std::nullopt;
}

Found prefill_length(const PackageFacts& facts) {
  constexpr std::int64_t kMost = 32;
  for (const FunctionFacts& f : facts.functions)
    for (const Feature& in : f.inputs)
      if (!f.states.empty() && in.name == "input_ids" && !in.type.shape.empty() && in.type.shape.back() > kMost)
        return f.name + " takes " + std::to_string(in.type.shape.back()) + " tokens at once";
  return std::nullopt;
}

Found tensor_dimension(const PackageFacts& facts) {
  constexpr std::int64_t kMost = 65536;
  return find_weights(facts, [](const WeightFacts& w) {
    return std::any_of(w.shape.begin(), w.shape.end(), [](std::int64_t size) { return size > kMost; });
  });
}

Found blocks_on_the_neural_engine(const PackageFacts& facts) { return find_weights(facts, is_blockwise); }

Found four_bits_with_states(const PackageFacts& facts) {
  if (!find_state(facts, [](const TensorType&) { return true; })) return std::nullopt;
  return find_weights(facts, [](const WeightFacts& w) { return is_palette(w) && w.bits == 4; });
}

Found fused_attention(const PackageFacts& facts) {
  for (const FunctionFacts& f : facts.functions)
    if (f.ops.contains("scaled_dot_product_attention")) return f.name + " has scaled_dot_product_attention";
  return std::nullopt;
}

Found palettes_on_the_gpu(const PackageFacts& facts) { return find_weights(facts, is_palette); }

Found block_size(const PackageFacts& facts) {
  return find_weights(facts, [](const WeightFacts& w) { return is_blockwise(w) && w.bits == 4 && w.group != 32; });
}

Found small_groups(const PackageFacts& facts) {
  return find_weights(facts, [](const WeightFacts& w) { return is_palette(w) && w.group > 0 && w.group < 8; });
}

Found few_bits(const PackageFacts& facts) {
  return find_weights(facts, [](const WeightFacts& w) { return is_palette(w) && w.bits < 4; });
}

Found phone_memory(const PackageFacts& facts) {
  constexpr std::uint64_t kMost = 4'000'000'000;
  const std::uint64_t bytes = facts.weight_bytes + state_bytes(facts);
  if (bytes <= kMost) return std::nullopt;
  return size_text(bytes) + " of weights and cache";
}

constexpr Guardrail kRules[] = {
    {"specification-version", Severity::error, Unit::any, Confidence::documented,
     "States, several functions, sub-byte integers and grouped palettes need specification version 9.",
     "Older systems do not know them, and the package does not load.",
     "coremltools: opset versions; Apple: what is new in iOS 18", "target.deployment = \"iOS18\"", version_of_features},
    {"state-type", Severity::error, Unit::any, Confidence::documented, "A state is fp16.",
     "coremltools refuses to write any other type.", "coremltools: sources of the exporter",
     "none: the emitter must be changed", state_type},
    {"output-type", Severity::error, Unit::any, Confidence::documented, "An output is fp16, fp32 or int32.",
     "Core ML has no other types for them at this specification version.", "coremltools: sources of the loader",
     "none: the emitter must be changed", output_type},
    {"rank", Severity::warning, Unit::any, Confidence::reported,
     "Inputs, states and outputs have five dimensions at most.", "A convention; more is not known to work.",
     "convention of published packages", "graph.kv = \"packed\"", rank},
    {"weight-ceiling", Severity::error, Unit::neural_engine, Confidence::reported,
     "A package for the Neural Engine has at most 2 GiB of weights.",
     "The compiler says \"exceeds the maximum (2147483648 bytes)\"; 1.5 GB were seen to compile, 3.4 GB failed.",
     "coremltools pull request 2593; ANEForge issue 45",
     "target.compute_units = \"CPU_AND_GPU\", or fewer quantize.bits", weight_ceiling},
    {"state-width", Severity::error, Unit::neural_engine, Confidence::reported,
     "The last dimension of a state is a multiple of 32.",
     "The Neural Engine fails otherwise; 256 works, 270 does not.", "coremltools issue 2631",
     "target.compute_units = \"CPU_AND_GPU\"", state_width},
    {"state-count", Severity::warning, Unit::neural_engine, Confidence::reported,
     "A function for the Neural Engine has one state.",
     "Several functions with two states each did not compile on phones, and three states failed when used.",
     "CoreML-LLM: MLSTATE_PATTERN and STAGE8_DESIGN", "graph.kv = \"packed\"", state_count},
    {"prefill-length", Severity::warning, Unit::neural_engine, Confidence::reported,
     "A function with a cache takes 32 tokens at once at most.",
     "Larger updates of a state fail on the Neural Engine; 16 and 32 are known to work.",
     "coremltools issue 2553; Anemll issue 27", "graph.prefill = 32", prefill_length},
    {"tensor-dimension", Severity::warning, Unit::neural_engine, Confidence::reported,
     "No dimension of a tensor exceeds 65536.",
     "It is the Neural Engine's limit on A16, M1 and later, and 16384 before.",
     "ANEForge issue 240; maderix/ANE issue 26", "target.compute_units = \"CPU_AND_GPU\"", tensor_dimension},
    {"blocks-on-neural-engine", Severity::warning, Unit::neural_engine, Confidence::documented,
     "Weights for the Neural Engine are palettes.",
     "Integers with a scale per block are described for the GPU of a Mac; palettes work best on the Neural Engine.",
     "Apple: coremltools guide, optimization overview", "quantize.plugin: a quantizer of palettes",
     blocks_on_the_neural_engine},
    {"four-bits-with-states", Severity::warning, Unit::neural_engine, Confidence::reported,
     "Palettes of 4 bits and states together have crashed on the Neural Engine.",
     "After 100 to 200 predictions, cause unknown; on macOS 26 a 4-bit embedder gave wrong numbers.",
     "coremltools issue 2716 (open)", "target.compute_units = \"CPU_AND_GPU\", or quantize.bits = 6",
     four_bits_with_states},
    {"fused-attention", Severity::warning, Unit::neural_engine, Confidence::reported,
     "Attention is written out as matmul and softmax.",
     "The fused op is reported to be wrong on the Neural Engine of iOS 26.", "executorch issue 16057",
     "graph.attention = \"explicit\"", fused_attention},
    {"few-bits", Severity::warning, Unit::any, Confidence::reported,
     "Palettes have 4 bits or more unless the model was trained for fewer.",
     "With 2 or 3 bits language models stop making sense.", "CoreML-LLM: MLSTATE_PATTERN", "quantize.bits = 4",
     few_bits},
    {"small-groups", Severity::warning, Unit::any, Confidence::documented, "A palette is shared by 8 channels or more.",
     "Groups of 8 or 16 are still faster than fp16; more palettes take more time.",
     "Apple: coremltools guide, performance of palettization", "quantize.group_size = 16", small_groups},
    {"palettes-on-gpu", Severity::advice, Unit::gpu, Confidence::documented,
     "On the GPU of a Mac, int4 in blocks of 32 is faster than palettes.", "There palettes only save memory.",
     "Apple: coremltools guide, optimization overview; Apple's article on Llama 3.1 8B",
     "quantize.plugin: a quantizer of scaled integers", palettes_on_the_gpu},
    {"block-size", Severity::advice, Unit::gpu, Confidence::documented, "Blocks of int4 hold 32 weights.",
     "That is the size that Apple uses for language models on the GPU of a Mac.",
     "Apple: article on Llama 3.1 8B; coremltools guide, optimization overview", "quantize.group_size = 32",
     block_size},
    {"phone-memory", Severity::advice, Unit::phone, Confidence::estimated,
     "Weights and cache of a package for a phone stay below 4 GB.",
     "A phone with 8 GB does not give one app that much without the increased-memory-limit entitlement.",
     "worked out for Llama 3.1 8B", "quantize.bits or graph.context", phone_memory},
};

}  // namespace

std::span<const Guardrail> guardrails() { return kRules; }

}  // namespace d2c::host
