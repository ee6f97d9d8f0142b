// GPT-2's alphabet: every byte as a printable character, so that vocabularies are text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace d2c::tokenizer {

[[nodiscard]] std::string to_byte_level(std::string_view bytes);

/// Nothing where `text` has a character that stands for no byte.
[[nodiscard]] std::optional<std::string> from_byte_level(std::string_view text);

}  // namespace d2c::tokenizer
