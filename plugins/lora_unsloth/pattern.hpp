// Regular expressions and module names as PEFT tests them, with a bound on the work a hostile pattern can cause.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace d2c::lora {

/// One compiled expression. `where` (file and key) opens every error message; a pattern that does not compile, or that
/// needs too many steps on a name, is Error(input).
class Pattern {
 public:
  Pattern(const std::string& expression, std::string where);

  /// Python's `re.fullmatch`.
  [[nodiscard]] bool matches_whole(std::string_view text) const;
  /// Python's `re.match` (from the start); the text of group 1.
  [[nodiscard]] std::optional<std::string> match_group(std::string_view text) const;

 private:
  struct Compiled;
  [[nodiscard]] bool run(std::string_view text, unsigned options, std::string* group) const;

  std::string expression_;
  std::string where_;
  std::shared_ptr<const Compiled> compiled_;
};

/// Names that stand for themselves and for any module path that ends in a dot and the name.
class NameList {
 public:
  NameList() = default;
  explicit NameList(std::vector<std::string> names);

  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  [[nodiscard]] bool holds_exactly(std::string_view module) const;
  /// The listed names equal to `module` or to what follows one of its dots, the longest first.
  [[nodiscard]] std::vector<std::string_view> matches(std::string_view module) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
  };
  std::vector<std::string> names_;
  std::unordered_set<std::string, Hash, std::equal_to<>> set_;
};

}  // namespace d2c::lora
