// Characters of UTF-8 text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace d2c::tokenizer {

/// Bytes of the character that starts the text: 0 where none does, -1 where the text ends inside it.
[[nodiscard]] int character_length(std::string_view text) noexcept;

[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// The character that starts a valid text; `length` becomes its bytes.
[[nodiscard]] char32_t character_at(std::string_view text, std::size_t& length) noexcept;

/// Unicode's White_Space.
[[nodiscard]] bool is_white_space(char32_t c) noexcept;

void append_character(char32_t c, std::string& out);

}  // namespace d2c::tokenizer
