// A recipe file as a tree in which every value knows where it was written.
#pragma once

#include <d2c/value.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace d2c::host {

struct Node {
  struct Member;

  enum class Kind { scalar, list, table };

  Kind kind = Kind::table;
  std::string origin;           ///< "FILE:LINE:COLUMN" of the key (of the value, for a list's items), or a flag
  Value scalar;                 ///< Kind::scalar
  std::vector<Node> items;      ///< Kind::list
  std::vector<Member> members;  ///< Kind::table, in file order

  [[nodiscard]] const Node* find(std::string_view key) const noexcept;
  [[nodiscard]] Node* find(std::string_view key) noexcept { return const_cast<Node*>(std::as_const(*this).find(key)); }
  /// The member, made (an empty table written at `from`) where it is missing.
  Node& at_or_add(std::string_view key, const std::string& from);
  void erase(std::string_view key);
  /// The same without the origins.
  [[nodiscard]] Value value() const;
  /// "a string", "a list of tables"...
  [[nodiscard]] std::string kind_name() const;
};

struct Node::Member {
  std::string first;
  Node second;
};

/// Parses a TOML document. Errors are Error(usage), opened by FILE:LINE:COLUMN.
[[nodiscard]] Node parse_document(std::string_view text, const std::string& file);

/// Parses one TOML value. What is no TOML value but could not be meant as one either is a string: a bare word.
[[nodiscard]] Node parse_value(const std::string& text, const std::string& origin);

/// Reads a recipe file; a missing, unreadable or unreasonably large one is Error(usage).
[[nodiscard]] Node read_document(const std::string& file);

}  // namespace d2c::host
