// `tokenize`: text to token ids, or back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host::cli {

struct Arguments;

struct TokenizeOptions {
  bool add_bos = false;              ///< with what the model's tokenizer puts around a text
  bool parse_special = false;        ///< special tokens in the text are those tokens
  bool skip_special = false;         ///< decoding: leave them out
  std::vector<std::int32_t> tokens;  ///< to decode, if any
};

[[nodiscard]] std::string tokenize(const Arguments& arguments);

}  // namespace d2c::host::cli
