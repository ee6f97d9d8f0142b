#include "host/recipe/document.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace d2c::host {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

}  // namespace

const Node* Node::find(std::string_view key) const noexcept {
  const auto it = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.first == key; });
  return it == members.end() ? nullptr : &it->second;
}

Node& Node::at_or_add(std::string_view key, const std::string& from) {
  if (Node* existing = find(key)) return *existing;
  Node& added = members.emplace_back(Member{std::string(key), {}}).second;
  added.origin = from;
  return added;
}

void Node::erase(std::string_view key) {
  std::erase_if(members, [&](const Member& m) { return m.first == key; });
}

Value Node::value() const {
  switch (kind) {
    case Kind::scalar: return scalar;
    case Kind::list: {
      Value list = Value::list();
      for (const Node& item : items) list.push_back(item.value());
      return list;
    }
    case Kind::table: break;
  }
  Value table = Value::table();
  for (const auto& [key, member] : members) table.set(key, member.value());
  return table;
}

std::string Node::kind_name() const {
  if (kind == Kind::scalar) return scalar.kind_name();
  if (kind == Kind::table) return "a table";
  const bool of_tables = !items.empty() && items.front().kind == Kind::table;
  return of_tables ? "a list of tables" : "a list";
}

Node read_document(const std::string& file) {
  if (std::error_code ignored; std::filesystem::is_directory(file, ignored))
    fail_usage(file + ": is a folder, not a recipe file");
  std::ifstream stream(file, std::ios::binary);
  if (!stream) fail_usage(file + ": the recipe cannot be read");
  std::string text(kMaxFileBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) fail_usage(file + ": the recipe cannot be read");
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > kMaxFileBytes) fail_usage(file + ": larger than 1 MiB, which no recipe is");
  return parse_document(text, file);
}

}  // namespace d2c::host
