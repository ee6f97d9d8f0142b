// `embed`: sentence embeddings of lines of text or lists of tokens.
#pragma once

#include "host/inference/model.hpp"

#include <string>
#include <vector>

namespace d2c::host::cli {

struct Arguments;

struct EmbedOptions {
  std::vector<std::string> files;  ///< a text in each line; none: stdin
  std::string tokens_file;  ///< JSON: [{"input_ids", "pooling_mask", "attention_mask"}, ...], the masks may be left out
  std::string instruction;
  std::string out;          ///< .safetensors or .npy
  bool similarity = false;  ///< also the cosine of every pair
  std::string tokenizer;    ///< where the tokenizer's files are, if not in the package
  RunnerOptions runner;
};

[[nodiscard]] std::string embed(const Arguments& arguments);

}  // namespace d2c::host::cli
