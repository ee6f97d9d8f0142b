#include "plugins/llm2vec_encode/encoder_settings.hpp"

#include "libs/json/json.hpp"
#include "libs/llama_blocks/graph_settings.hpp"

#include <d2c/error.hpp>

#include <algorithm>

namespace d2c::llama {
namespace {

Pooling pooling_of(const std::string& name) {
  if (name == "mean") return Pooling::mean;
  if (name == "weighted_mean") return Pooling::weighted_mean;
  if (name == "bos_token") return Pooling::first_token;
  if (name == "eos_token" || name == "last_token") return Pooling::last_token;
  fail_usage("encoder.pooling: '" + name + "' is not one of mean, weighted_mean, eos_token, last_token, bos_token");
}

/// How callers prepare sentences follows from the model's exact name in llm2vec 0.2.3, so it does here where the recipe
/// says nothing else.
void add_text_rules(const Value& encoder, const std::string& model_name, Value& v) {
  v.set("chat_wrapper", encoder.bool_or("chat_wrapper", model_name == "meta-llama/Meta-Llama-3-8B-Instruct"));
  if (const Value* end = encoder.find("end_of_text")) v.set("end_of_text", *end);
  else if (model_name == "meta-llama/Meta-Llama-3-8B") v.set("end_of_text", "<|end_of_text|>");
}

}  // namespace

std::string encoder_metadata(const Value& encoder, const EncoderSettings& settings, const LlamaConfig& config,
                             const std::string& model_name) {
  Value v = Value::table();
  v.set("version", 1);
  v.set("pooling", settings.pooling_name);
  v.set("max_length", settings.max_length);
  v.set("doc_max_length", encoder.int_or("doc_max_length", 400));
  v.set("hidden_size", config.hidden_size);
  v.set("vocab_size", config.vocab_size);
  v.set("skip_instruction", encoder.bool_or("skip_instruction", true));
  add_text_rules(encoder, model_name, v);
  if (const Value* weights = encoder.find("weights")) v.set("weights", *weights);
  return json::dump(v);
}

EncoderSettings EncoderSettings::parse(const Value& encoder, std::int64_t length, const LlamaConfig& config) {
  EncoderSettings s;
  s.pooling_name = encoder.text_or("pooling", "mean");
  s.pooling = pooling_of(s.pooling_name);
  const std::int64_t longest = std::min(config.max_positions, kMaxPositions);
  s.max_length = encoder.int_or("max_length", std::min<std::int64_t>(longest, 512));
  if (s.max_length < 1 || s.max_length > longest)
    fail_usage("encoder.max_length is " + std::to_string(s.max_length) + "; set it to 1.." + std::to_string(longest) +
               " (the model's " + config.max_positions_key + " is " + std::to_string(config.max_positions) + ")");
  s.length = length == 0 ? s.max_length : length;
  if (s.length < 1 || s.length > s.max_length)
    fail_usage("function option length is " + std::to_string(length) + "; set it to 1.." +
               std::to_string(s.max_length) + " (encoder.max_length)");
  return s;
}

}  // namespace d2c::llama
