// The one place that knows toml++.
#include "host/recipe/document.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace d2c::host {
namespace {

constexpr int kMaxBrackets = 32;
constexpr int kMaxKeyParts = 32;
constexpr int kMaxDepth = 64;

std::string position(const std::string& file, std::size_t line, std::size_t column) {
  return file + ":" + std::to_string(line) + ":" + std::to_string(column);
}

/// Refuses text that nests deeper than any recipe does. The parser bounds brackets only: a dotted key with 100,000 parts
/// would overflow the stack when its tables are destroyed.
class NestingGuard {
 public:
  NestingGuard(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  void check() {
    while (at_ < text_.size()) step();
  }

 private:
  void step() {
    const char c = text_[at_];
    if (c == '#') return skip_comment();
    if (c == '"' || c == '\'') return skip_string(c);
    ++at_;
    if (c == '[' || c == '{') count(++brackets_, kMaxBrackets, "brackets nested");
    if (c == ']' || c == '}') --brackets_;
    if (c == '.') count(++key_parts_, kMaxKeyParts, "a key");
    else if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos) key_parts_ = 0;
  }

  void skip_comment() { at_ = std::min(text_.find('\n', at_), text_.size()); }

  void skip_string(char quote) {
    const std::string triple(3, quote);
    const bool multi_line = text_.substr(at_, 3) == triple;
    at_ += multi_line ? 3 : 1;
    while (at_ < text_.size()) {
      if (text_[at_] == '\\' && quote == '"') {
        at_ += 2;
      } else if (multi_line ? text_.substr(at_, 3) == triple : text_[at_] == quote || text_[at_] == '\n') {
        at_ += multi_line ? 3 : 1;
        // Up to two quotes directly before the closing three belong to the text.
        for (int extra = 0; multi_line && extra < 2 && at_ < text_.size() && text_[at_] == quote; ++extra) ++at_;
        return;
      } else {
        ++at_;
      }
    }
  }

  void count(int value, int limit, const char* what) const {
    if (value <= limit) return;
    const std::string_view before = text_.substr(0, at_ - 1);
    const auto line = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
    const std::size_t start = before.rfind('\n');
    const std::size_t column = at_ - (start == std::string_view::npos ? 0 : start + 1);
    fail_usage(position(file_, line, column) + ": " + what + " deeper than " + std::to_string(limit) + " levels");
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
  int brackets_ = 0;
  int key_parts_ = 0;
};

class Converter {
 public:
  explicit Converter(const std::string& file) : file_(file) {}

  [[nodiscard]] Node table(const toml::table& source, int depth) const {
    if (depth > kMaxDepth)
      fail_usage(where(source.source()) + ": nested deeper than " + std::to_string(kMaxDepth) + " levels");
    // toml++ sorts keys by name; people expect the order of the file.
    std::vector<std::pair<const toml::key*, const toml::node*>> entries;
    for (const auto& [key, value] : source) entries.emplace_back(&key, &value);
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return place(*a.first) < place(*b.first); });
    Node out;
    for (const auto& [key, value] : entries) {
      Node member = node(*value, depth + 1);
      member.origin = where(key->source());
      out.members.push_back({std::string(key->str()), std::move(member)});
    }
    return out;
  }

 private:
  static std::tuple<std::size_t, std::size_t> place(const toml::key& key) {
    return {key.source().begin.line, key.source().begin.column};
  }

  [[nodiscard]] std::string where(const toml::source_region& region) const {
    return position(file_, region.begin.line, region.begin.column);
  }

  [[nodiscard]] Node node(const toml::node& source, int depth) const {
    if (const toml::table* t = source.as_table()) return table(*t, depth);
    if (const toml::array* a = source.as_array()) return list(*a, depth);
    Node out;
    out.kind = Node::Kind::scalar;
    out.scalar = scalar(source);
    return out;
  }

  [[nodiscard]] Node list(const toml::array& source, int depth) const {
    if (depth > kMaxDepth)
      fail_usage(where(source.source()) + ": nested deeper than " + std::to_string(kMaxDepth) + " levels");
    Node out;
    out.kind = Node::Kind::list;
    for (const toml::node& item : source) {
      out.items.push_back(node(item, depth + 1));
      out.items.back().origin = where(item.source());
    }
    return out;
  }

  [[nodiscard]] Value scalar(const toml::node& source) const {
    if (const auto* text = source.as_string()) return text->get();
    if (const auto* integer = source.as_integer()) return integer->get();
    if (const auto* boolean = source.as_boolean()) return boolean->get();
    if (const auto* real = source.as_floating_point()) {
      if (!std::isfinite(real->get())) fail_usage(where(source.source()) + ": inf and nan are not values of a recipe");
      return real->get();
    }
    fail_usage(where(source.source()) + ": dates and times are not values of a recipe");
  }

  const std::string& file_;
};

Node parse(std::string_view text, const std::string& file) {
  NestingGuard(text, file).check();
  return Converter(file).table(toml::parse(text, std::string_view(file)), 0);
}

bool looks_like_structured_toml(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first != std::string::npos && std::string_view("\"'[{").find(text[first]) != std::string_view::npos;
}

void set_origin(Node& node, const std::string& origin) {
  node.origin = origin;
  for (Node& item : node.items) set_origin(item, origin);
  for (auto& [key, member] : node.members) set_origin(member, origin);
}

Node bare_word(const std::string& text, const std::string& origin) {
  Node out;
  out.kind = Node::Kind::scalar;
  out.origin = origin;
  out.scalar = text;
  return out;
}

}  // namespace

Node parse_document(std::string_view text, const std::string& file) {
  try {
    return parse(text, file);
  } catch (const toml::parse_error& e) {
    fail_usage(position(file, e.source().begin.line, e.source().begin.column) +
               ": not valid TOML: " + std::string(e.description()));
  }
}

Node parse_value(const std::string& text, const std::string& origin) {
  try {
    Node document = parse("value = " + text, origin);
    // A line break in the text could smuggle further keys in.
    if (document.members.size() == 1) {
      Node value = std::move(document.members.front().second);
      set_origin(value, origin);
      return value;
    }
  } catch (const toml::parse_error& e) {
    if (looks_like_structured_toml(text))
      fail_usage(origin + ": not a valid TOML value: " + std::string(e.description()));
  }
  return bare_word(text, origin);
}

}  // namespace d2c::host
