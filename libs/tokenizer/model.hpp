// What a tokenizer is made of, however it was stored.
#pragma once

#include "libs/tokenizer/added_tokens.hpp"
#include "libs/tokenizer/bpe.hpp"
#include "libs/tokenizer/normalizer.hpp"
#include "libs/tokenizer/pre_tokenizer.hpp"
#include "libs/tokenizer/tokenizer.hpp"

#include <memory>
#include <unordered_map>
#include <vector>

namespace d2c::tokenizer {

struct Tokenizer::Impl {
  AddedTokens added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  std::vector<std::int32_t> prefix, suffix;  ///< special tokens around a text
  std::vector<std::string> bytes;            ///< by id: what it decodes to
  std::vector<bool> special;                 ///< by id
  bool strip_leading_space = false;          ///< of a decoded text
  std::unordered_map<std::string, std::int32_t> added_ids;
  std::optional<std::int32_t> bos, eos;
};

/// tokenizer.json, with what tokenizer_config.json says about the ends of a text.
[[nodiscard]] std::shared_ptr<const Tokenizer::Impl> parse_tokenizer_json(const Files& files);
/// Llama 3's tokenizer.model: lines of base64 and rank.
[[nodiscard]] std::shared_ptr<const Tokenizer::Impl> parse_tiktoken(const std::string& text);

}  // namespace d2c::tokenizer
