// Tokenizers under tests/data/tokenizers.
#pragma once

#include "libs/tokenizer/tokenizer.hpp"

#include <string>

namespace d2c::tokenizer::testing {

[[nodiscard]] Files files_of(const std::string& name);
[[nodiscard]] Tokenizer tokenizer_of(const std::string& name);

}  // namespace d2c::tokenizer::testing
