// Sentences as LLM2Vec hands them to its encoder: joined with an instruction, wrapped, cut, and marked where they are pooled.
// Follows the reference package, llm2vec 0.2.3.
#pragma once

#include "libs/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace d2c::tokenizer {

struct Llm2VecSettings {
  std::string pooling = "mean";  ///< mean, weighted_mean, eos_token, last_token, bos_token
  std::int64_t max_length = 512;
  std::int64_t max_text_tokens = 400;  ///< longer texts are shortened by whole words before anything is joined to them
  bool skip_instruction = true;        ///< the instruction is seen, not pooled
  bool chat_wrapper = false;          ///< as a user's turn of Llama 3, as the package does for Meta-Llama-3-8B-Instruct
  std::string end_of_text = " </s>";  ///< what eos_token pooling appends
};

struct Llm2VecText {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> pooling_mask;  ///< one per id; all zeros for a text without a token of its own
  bool cut = false;                        ///< the text was longer than the encoder takes
};

/// Error(input) where the pooling needs a token that the tokenizer does not have.
[[nodiscard]] Llm2VecText prepare_llm2vec(const Tokenizer& tokenizer, const Llm2VecSettings& settings,
                                          const std::string& instruction, const std::string& text);

}  // namespace d2c::tokenizer
