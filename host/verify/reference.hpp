// What a package has to answer: prompts with the logits that follow them, sentences with their embeddings.
#pragma once

#include "host/inference/embedder.hpp"
#include "host/inference/model.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

/// Whose weights the reference was computed with, and so what agreement with it proves.
enum class ReferenceWeights {
  package,     ///< the package's own, dequantized: that graph and runner compute what the weights say
  checkpoint,  ///< those of the model it was made from: that conversion and quantization keep the model
};

struct PromptTokens {
  std::string text;  ///< empty: only tokens are known
  std::vector<std::int32_t> tokens;
};

struct SentenceTokens {
  std::string text;
  EncoderInput input;
};

struct ReferencePrompt {
  PromptTokens prompt;
  std::vector<std::int32_t> answer;  ///< greedy
  std::size_t vocab = 0;
  View data;  ///< fp32 [answer + 1, vocab]

  /// What follows the prompt and the first `count` tokens of the answer.
  [[nodiscard]] std::span<const float> logits(std::size_t count) const;
};

struct ReferenceSentence {
  SentenceTokens sentence;
  std::vector<float> embedding;
};

struct Reference {
  std::string name;  ///< for people: what computed it, from what
  ReferenceWeights weights = ReferenceWeights::checkpoint;
  std::vector<ReferencePrompt> prompts;
  std::vector<ReferenceSentence> sentences;
};

/// Reads a golden file as tools/record_golden.py and tools/record_transformers.py write them (docs/verification.md).
/// Anything else is Error(input) naming the file and the tensor.
[[nodiscard]] Reference read_golden(const std::string& path);

/// What a model answers, as far as it has the functions: `count` tokens to each prompt, an embedding for each sentence.
[[nodiscard]] Reference record(const Model& model, std::span<const PromptTokens> prompts, std::int64_t count,
                               std::span<const SentenceTokens> sentences);

}  // namespace d2c::host
