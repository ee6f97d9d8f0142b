#include "host/recipe/check.hpp"

#include "host/recipe/nearest.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <map>

namespace d2c::host {
namespace {

const char* name_of_kind(d2c_value_kind kind) {
  switch (kind) {
    case D2C_VALUE_BOOL: return "true or false";
    case D2C_VALUE_INTEGER: return "an integer";
    case D2C_VALUE_REAL: return "a number";
    case D2C_VALUE_TEXT: return "a string";
    case D2C_VALUE_LIST: return "a list";
    case D2C_VALUE_TABLE: return "a table";
    default: return "nothing";
  }
}

bool is_of_kind(const Value& value, d2c_value_kind kind) {
  return kind == D2C_VALUE_REAL ? value.is_number() : value.kind() == kind;
}

bool same(const Value& a, const Value& b) {
  return a.is_number() && b.is_number() ? a.as_real() == b.as_real() : a == b;
}

void check_allowed(const Value& value, const Value& allowed, const std::string& label, const std::string& origin) {
  const auto& choices = allowed.items();
  if (std::any_of(choices.begin(), choices.end(), [&](const Value& choice) { return same(choice, value); })) return;
  std::vector<std::string> texts;
  for (const Value& choice : choices)
    if (choice.is_text()) texts.push_back(choice.as_text());
  const std::string hint = value.is_text() ? did_you_mean(value.as_text(), texts) : std::string();
  const std::string list = json::dump(allowed);  // "[1,2,4]"
  fail_usage(origin + ": " + label + " must be one of " + list.substr(1, list.size() - 2) + ", not " +
             json::dump(value) + hint);
}

void check_range(const Value& value, const KeySpec& key, const std::string& label, const std::string& origin) {
  const double v = value.as_real();
  if (v < static_cast<double>(key.minimum))
    fail_usage(origin + ": " + label + " must be at least " + std::to_string(key.minimum) + ", not " +
               json::dump(value));
  if (v > static_cast<double>(key.maximum))
    fail_usage(origin + ": " + label + " must be at most " + std::to_string(key.maximum) + ", not " +
               json::dump(value));
}

void check_key(const KeySpec& key, const Node& node, const std::string& label) {
  const Value value = node.value();
  check_value(value, {key.kind, key.allowed_json}, label, node.origin);
  if (value.is_number()) check_range(value, key, label, node.origin);
  for (const Node& item : node.items) {
    if (item.kind != Node::Kind::scalar || item.scalar.kind() != key.item_kind)
      fail_usage(item.origin + ": " + label + " must be a list of " +
                 (key.item_kind == D2C_VALUE_INTEGER ? "integers" : "strings") + ", and holds " + item.kind_name());
    if (item.scalar.is_number()) check_range(item.scalar, key, "an entry of " + label, item.origin);
  }
}

/// A rule matches tensor names, which contain dots, or a role; anything else is a slip of the pen.
void check_match(const Node& match) {
  const std::string& text = match.scalar.as_text();
  const auto roles = weight_roles();
  if (text.find_first_of(".*?[") != std::string::npos) return;
  if (std::find(roles.begin(), roles.end(), text) != roles.end()) return;
  const std::vector<std::string> names(roles.begin(), roles.end());
  const std::string hint = did_you_mean(text, names);
  fail_usage(match.origin + ": unknown role '" + text + "'" +
             (hint.empty() ? "; a glob over tensor names contains '.' or '*'" : hint));
}

void check_section(const SectionSpec& section, const Node& node, const std::string& label);

void check_table(const SectionSpec& section, const Node& table, const std::string& label) {
  const std::string prefix = label.empty() ? "" : label + ".";
  for (const auto& [key, node] : table.members) {
    if (const KeySpec* spec = find_key(section, key)) {
      check_key(*spec, node, prefix + key);
    } else if (const SectionSpec* child = find_subsection(section, key); child != nullptr) {
      check_section(*child, node, prefix + key);
    } else if (!section.plugin_options) {
      const std::string where = label.empty() ? "" : " in " + title_of(section);
      fail_usage(node.origin + ": unknown key '" + key + "'" + where + did_you_mean(key, names_in(section)));
    }
  }
  for (const KeySpec& key : section.keys)
    if (key.required && table.find(key.name) == nullptr)
      fail_usage(table.origin + ": " + title_of(section) + " lacks '" + key.name + "'");
}

/// Names and matches stand once; the stacks of adapters may repeat.
void check_unique(const SectionSpec& section, const Node& list) {
  const KeySpec* key = find_key(section, section.merge_key);
  if (!key->required) return;
  std::map<std::string, std::string> seen;
  for (const Node& item : list.items) {
    const std::string name = item.find(key->name)->scalar.as_text();
    const auto [first, is_new] = seen.emplace(name, item.origin);
    if (!is_new)
      fail_usage(item.origin + ": a second " + title_of(section) + " with " + key->name + " '" + name +
                 "'; the first stands at " + first->second);
  }
}

void check_section(const SectionSpec& section, const Node& node, const std::string& label) {
  if (section.repetition == Repetition::once) {
    if (node.kind != Node::Kind::table)
      fail_usage(node.origin + ": " + label + " must be a table, not " + node.kind_name());
    return check_table(section, node, label);
  }
  if (node.kind != Node::Kind::list)
    fail_usage(node.origin + ": " + label + " must be an array of tables, written [[" + section.name + "]], not " +
               node.kind_name());
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    const std::string item_label = label + "[" + std::to_string(i) + "]";
    if (item.kind != Node::Kind::table)
      fail_usage(item.origin + ": " + item_label + " must be a table, not " + item.kind_name());
    check_table(section, item, item_label);
    if (std::string_view(section.name) == "quantize.rule") check_match(*item.find("match"));
  }
  check_unique(section, node);
}

}  // namespace

void check_value(const Value& value, const Constraint& constraint, const std::string& label,
                 const std::string& origin) {
  if (!is_of_kind(value, constraint.kind))
    fail_usage(origin + ": " + label + " must be " + name_of_kind(constraint.kind) + ", not " + value.kind_name());
  if (constraint.allowed_json == nullptr) return;
  const Value allowed = json::parse(constraint.allowed_json, label);
  if (!value.is_list()) return check_allowed(value, allowed, label, origin);
  for (const Value& item : value.items()) check_allowed(item, allowed, label, origin);
}

void check_document(const Node& document) { check_table(*find_section(""), document, ""); }

std::string title_of(const SectionSpec& section) {
  const std::string name = section.name;
  return section.repetition == Repetition::once ? "[" + name + "]" : "[[" + name + "]]";
}

std::vector<std::string> names_in(const SectionSpec& section) {
  std::vector<std::string> names;
  for (const KeySpec& key : section.keys) names.emplace_back(key.name);
  for (const SectionSpec& other : recipe_sections())
    if (*other.name != '\0' && parent_of(other) == section.name) names.emplace_back(leaf_of(other));
  return names;
}

}  // namespace d2c::host
