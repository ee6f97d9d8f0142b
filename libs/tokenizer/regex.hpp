// Regular expressions over UTF-8 text, with Unicode classes. PCRE2 stays in regex.cpp.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace d2c::tokenizer {

/// Immutable; thread-safe.
class Regex {
 public:
  /// Error(input) opened by `where` for what is no expression.
  Regex(const std::string& expression, const std::string& where);

  /// First match at or after `from` that is not empty, as [begin, end). `text` is valid UTF-8. Error(input) where the
  /// expression takes too long on it.
  [[nodiscard]] std::optional<std::pair<std::size_t, std::size_t>> find(std::string_view text, std::size_t from) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
  std::string where_;
};

}  // namespace d2c::tokenizer
