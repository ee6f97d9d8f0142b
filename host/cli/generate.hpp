// `generate`: continues a text, or a list of tokens, once.
#pragma once

#include "host/inference/model.hpp"
#include "host/inference/sampler.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host::cli {

struct Arguments;

struct GenerateOptions {
  std::optional<std::string> prompt;        ///< neither this nor `tokens`: stdin
  std::vector<std::int32_t> tokens;         ///< the prompt as token ids
  std::vector<std::int32_t> teacher_force;  ///< fed in place of what would be chosen
  std::optional<std::int64_t> max_new_tokens;
  std::optional<bool> stop_at_eos;  ///< absent: for text, not for tokens
  std::string logits_out;
  std::string variant;    ///< whose functions generate; empty: init and decode
  std::string tokenizer;  ///< where the tokenizer's files are, if not in the package
  SamplingOptions sampling;
  RunnerOptions runner;
};

[[nodiscard]] std::string generate(const Arguments& arguments);

}  // namespace d2c::host::cli
