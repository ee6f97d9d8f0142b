#include "libs/tokenizer/added_tokens.hpp"

#include "libs/tokenizer/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>

namespace d2c::tokenizer {
namespace {

bool is_word(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return c == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO);
}

/// Start of the character that ends before `end`.
std::size_t previous_start(std::string_view text, std::size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

char32_t character(std::string_view text, std::size_t at) {
  std::size_t length = 0;
  return character_at(text.substr(at), length);
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !is_word(character(text, previous_start(text, begin)))) &&
         (end == text.size() || !is_word(character(text, end)));
}

std::size_t skip_spaces_back(std::string_view text, std::size_t at, std::size_t limit) {
  while (at > limit && is_white_space(character(text, previous_start(text, at)))) at = previous_start(text, at);
  return at;
}

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  for (std::size_t length = 0; at < text.size() && is_white_space(character_at(text.substr(at), length));
       at += length) {
  }
  return at;
}

}  // namespace

void AddedTokens::add(AddedToken token) {
  if (token.content.empty()) return;
  auto& list = by_first_byte_[static_cast<unsigned char>(token.content[0])];
  const auto place = std::ranges::upper_bound(list, token.content.size(), std::greater<>(),
                                              [&](std::size_t i) { return tokens_[i].content.size(); });
  list.insert(place, tokens_.size());
  tokens_.push_back(std::move(token));
}

std::vector<AddedTokens::Piece> AddedTokens::split(std::string_view text, bool normalized, bool parse_special) const {
  std::vector<Piece> pieces;
  std::size_t plain = 0;
  for (std::size_t at = 0; at < text.size();) {
    const AddedToken* token = match(text, at, normalized, parse_special);
    if (token == nullptr) {
      ++at;
      continue;
    }
    const std::size_t begin = token->lstrip ? skip_spaces_back(text, at, plain) : at;
    const std::size_t found = at + token->content.size(), end = token->rstrip ? skip_spaces(text, found) : found;
    if (begin > plain) pieces.push_back({text.substr(plain, begin - plain), std::nullopt});
    pieces.push_back({text.substr(begin, end - begin), token->id});
    plain = at = end;
  }
  if (plain < text.size()) pieces.push_back({text.substr(plain), std::nullopt});
  return pieces;
}

const AddedToken* AddedTokens::match(std::string_view text, std::size_t at, bool normalized, bool parse_special) const {
  for (const std::size_t i : by_first_byte_[static_cast<unsigned char>(text[at])]) {
    const AddedToken& t = tokens_[i];
    if (t.normalized != normalized || (t.special && !parse_special) || !text.substr(at).starts_with(t.content))
      continue;
    if (!t.single_word || stands_alone(text, at, at + t.content.size())) return &t;
  }
  return nullptr;
}

}  // namespace d2c::tokenizer
