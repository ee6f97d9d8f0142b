// Tokenizer and generation files in Hugging Face's formats from the tokenizer.ggml.* metadata.
#pragma once

#include "plugins/source_gguf/header.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace d2c::source_gguf {

/// tokenizer.json, tokenizer_config.json and generation_config.json. A tokenizer that is not byte-level BPE, or whose
/// pre-tokenizer is unknown, costs tokenizer.json alone and is told to `warn`; inconsistent data is Error(input).
/// `vocabulary` is the number of rows of the embedding.
[[nodiscard]] std::vector<Asset> tokenizer_assets(const ByteSource& source, const Metadata& metadata,
                                                  std::int64_t vocabulary,
                                                  const std::function<void(const std::string&)>& warn);

}  // namespace d2c::source_gguf
