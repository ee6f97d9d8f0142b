// What the recipe's [encoder] table says, checked against the model.
#pragma once

#include "libs/llama_blocks/llama_config.hpp"

#include <d2c/value.hpp>

#include <cstdint>
#include <string>

namespace d2c::llama {

enum class Pooling {
  mean,           ///< over the tokens of the pooling mask
  weighted_mean,  ///< the same with weights 1, 2, 3, ... in token order
  single_token,   ///< eos_token, last_token, bos_token: the caller's pooling mask holds that one token
};

struct EncoderSettings {
  std::string pooling_name;
  Pooling pooling = Pooling::mean;
  std::int64_t max_length = 0;
  bool skip_instruction = true;

  /// `encoder` is the recipe's table. Errors are Error(usage) saying which key to set.
  static EncoderSettings parse(const Value& encoder, const LlamaConfig& config);
};

}  // namespace d2c::llama
