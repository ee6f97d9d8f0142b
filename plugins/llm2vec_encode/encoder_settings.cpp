#include "plugins/llm2vec_encode/encoder_settings.hpp"

#include "libs/llama_blocks/graph_settings.hpp"

#include <d2c/error.hpp>

#include <algorithm>

namespace d2c::llama {
namespace {

Pooling pooling_of(const std::string& name) {
  if (name == "mean") return Pooling::mean;
  if (name == "weighted_mean") return Pooling::weighted_mean;
  if (name == "eos_token" || name == "last_token" || name == "bos_token") return Pooling::single_token;
  fail_usage("encoder.pooling: '" + name + "' is not one of mean, weighted_mean, eos_token, last_token, bos_token");
}

}  // namespace

EncoderSettings EncoderSettings::parse(const Value& encoder, const LlamaConfig& config) {
  EncoderSettings s;
  s.pooling_name = encoder.text_or("pooling", "mean");
  s.pooling = pooling_of(s.pooling_name);
  s.skip_instruction = encoder.bool_or("skip_instruction", true);
  const std::int64_t longest = std::min(config.max_positions, kMaxPositions);
  s.max_length = encoder.int_or("max_length", std::min<std::int64_t>(longest, 512));
  if (s.max_length < 1 || s.max_length > longest)
    fail_usage("encoder.max_length is " + std::to_string(s.max_length) + "; set it to 1.." + std::to_string(longest) +
               " (the model's " + config.max_positions_key + " is " + std::to_string(config.max_positions) + ")");
  return s;
}

}  // namespace d2c::llama
