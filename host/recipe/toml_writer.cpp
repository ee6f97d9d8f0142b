// The resolved recipe as TOML.
#include "host/recipe/keys.hpp"
#include "host/recipe/recipe.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace d2c::host {
namespace {

std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
  return bare ? key : toml_string(key);
}

/// A TOML real has a point or an exponent, which tells it from an integer.
std::string real_text(double v) {
  std::string text = json::dump(v);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string inline_value(const Value& v) {
  switch (v.kind()) {
    case D2C_VALUE_BOOL: return v.as_bool() ? "true" : "false";
    case D2C_VALUE_INTEGER: return std::to_string(v.as_int());
    case D2C_VALUE_REAL: return real_text(v.as_real());
    case D2C_VALUE_TEXT: return toml_string(v.as_text());
    default: break;
  }
  const bool is_list = v.is_list();
  std::string text = is_list ? "[" : "{";
  const char* separator = is_list ? "" : " ";
  if (is_list) {
    for (const Value& item : v.items()) text += std::exchange(separator, ", ") + inline_value(item);
  } else {
    for (const auto& [key, item] : v.members())
      text += std::exchange(separator, ", ") + key_text(key) + " = " + inline_value(item);
  }
  return text + (is_list ? "]" : text.size() > 1 ? " }" : "}");
}

class Writer {
 public:
  explicit Writer(const Recipe& recipe) : recipe_(recipe) {}

  std::string write() {
    members("", "", recipe_.resolved);
    for (const SectionSpec& section : recipe_sections()) {
      const Value* value = value_of(section);
      if (value == nullptr) continue;
      const std::string name = section.name;
      if (value->is_table()) table("[" + name + "]", name, name, *value);
      else
        for (std::size_t i = 0; i < value->items().size(); ++i)
          table("[[" + name + "]]", name, name + "[" + std::to_string(i) + "]", value->items()[i]);
    }
    return std::move(out_);
  }

 private:
  const Value* value_of(const SectionSpec& section) const {
    if (*section.name == '\0') return nullptr;
    const std::string_view parent = parent_of(section);
    const Value* around = parent.empty() ? &recipe_.resolved : recipe_.resolved.find(parent);
    return around->find(leaf_of(section));
  }

  void table(const std::string& title, const std::string& section, const std::string& label, const Value& value) {
    out_ += "\n" + title + "\n";
    members(section, label, value);
  }

  void members(const std::string& section, const std::string& label, const Value& value) {
    for (const auto& [key, member] : value.members()) {
      if (find_section(section.empty() ? key : section + "." + key) != nullptr) continue;
      out_ += key_text(key) + " = " + inline_value(member);
      const auto origin = recipe_.origins.find(label.empty() ? key : label + "." + key);
      // A line break in an origin (a flag's value) would end the comment.
      if (origin != recipe_.origins.end()) out_ += "  # " + single_line(origin->second.text);
      out_ += "\n";
    }
  }

  static std::string single_line(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
    return text;
  }

  const Recipe& recipe_;
  std::string out_;
};

}  // namespace

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr char kHex[] = "0123456789abcdef";
      out += std::string("\\u00") + kHex[byte >> 4] + kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string to_toml(const Recipe& recipe) { return Writer(recipe).write(); }

}  // namespace d2c::host
