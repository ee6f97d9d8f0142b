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
  first_token,    ///< bos_token: the first of the pooling mask
  last_token,     ///< eos_token, last_token: the last of the pooling mask
};

struct EncoderSettings {
  std::string pooling_name;
  Pooling pooling = Pooling::mean;
  std::int64_t max_length = 0;
  std::int64_t length = 0;  ///< of this function; at most max_length

  /// `encoder` is the recipe's table, `length` the function's own option, 0 where it takes the longest texts. Errors are
  /// Error(usage) saying which key to set.
  static EncoderSettings parse(const Value& encoder, std::int64_t length, const LlamaConfig& config);
};

/// How texts become tokens for the encoder, as callers read it from the package: JSON without line breaks, the same for
/// every function of one encoder.
[[nodiscard]] std::string encoder_metadata(const Value& encoder, const EncoderSettings& settings,
                                           const LlamaConfig& config, const std::string& model_name);

}  // namespace d2c::llama
