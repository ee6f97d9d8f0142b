#include "libs/tokenizer/byte_level.hpp"

#include "libs/tokenizer/utf8.hpp"

#include <array>

namespace d2c::tokenizer {
namespace {

constexpr bool is_printable(unsigned byte) noexcept {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int, 512> byte{};

  constexpr Alphabet() noexcept {
    byte.fill(-1);
    char32_t next = 256;
    for (unsigned b = 0; b < 256; ++b) {
      character[b] = is_printable(b) ? b : next++;
      byte[character[b]] = static_cast<int>(b);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

std::string to_byte_level(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char b : bytes) append_character(kAlphabet.character[static_cast<unsigned char>(b)], out);
  return out;
}

std::optional<std::string> from_byte_level(std::string_view text) {
  std::string out;
  for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
    const char32_t c = character_at(text.substr(at), length);
    if (c >= kAlphabet.byte.size() || kAlphabet.byte[c] < 0) return std::nullopt;
    out.push_back(static_cast<char>(kAlphabet.byte[c]));
  }
  return out;
}

}  // namespace d2c::tokenizer
