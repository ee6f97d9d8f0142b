// Tokens that are found in the text before anything else is done to it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::tokenizer {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
  bool single_word = false;  ///< only where no letter or digit touches it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space behind it along
  bool normalized = false;   ///< looked for in the normalized text
};

class AddedTokens {
 public:
  void add(AddedToken token);

  struct Piece {
    std::string_view text;
    std::optional<std::int32_t> id;  ///< nothing: plain text
  };

  /// The text in pieces, the longest token at each place. Only tokens of that `normalized` kind; special ones if wanted.
  [[nodiscard]] std::vector<Piece> split(std::string_view text, bool normalized, bool parse_special) const;

  [[nodiscard]] const std::vector<AddedToken>& all() const noexcept { return tokens_; }

 private:
  [[nodiscard]] const AddedToken* match(std::string_view text, std::size_t at, bool normalized,
                                        bool parse_special) const;

  std::vector<AddedToken> tokens_;
  std::array<std::vector<std::size_t>, 256> by_first_byte_;  ///< longest first
};

}  // namespace d2c::tokenizer
