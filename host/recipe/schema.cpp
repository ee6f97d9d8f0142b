// JSON Schema and reference, both made from the table of keys.
#include "host/recipe/check.hpp"
#include "host/recipe/keys.hpp"
#include "host/recipe/recipe.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <limits>

namespace d2c::host {
namespace {

using PluginOptions = std::map<std::string, std::vector<const d2c_option_spec*>>;

const char* json_type(d2c_value_kind kind) {
  switch (kind) {
    case D2C_VALUE_BOOL: return "boolean";
    case D2C_VALUE_INTEGER: return "integer";
    case D2C_VALUE_REAL: return "number";
    case D2C_VALUE_LIST: return "array";
    case D2C_VALUE_TABLE: return "object";
    default: return "string";
  }
}

void set_allowed(Value& schema, d2c_value_kind kind, const char* allowed_json) {
  if (allowed_json == nullptr) return;
  const Value allowed = json::parse(allowed_json, "allowed values");
  if (kind == D2C_VALUE_LIST) schema.set("items", Value(Value::Table{{"enum", allowed}}));
  else schema.set("enum", allowed);
}

void set_default(Value& schema, const char* default_json) {
  if (default_json == nullptr) return;
  Value value = json::parse(default_json, "default");
  if (!value.is_null()) schema.set("default", std::move(value));
}

Value schema_of(const KeySpec& key) {
  Value schema = Value::table();
  schema.set("type", json_type(key.kind));
  schema.set("description", key.help);
  if (key.kind == D2C_VALUE_LIST) schema.set("items", Value(Value::Table{{"type", json_type(key.item_kind)}}));
  set_allowed(schema, key.kind, key.allowed_json);
  set_default(schema, key.default_json);
  Value& number = key.kind == D2C_VALUE_LIST ? *schema.find("items") : schema;
  if (key.minimum != std::numeric_limits<std::int64_t>::min()) number.set("minimum", key.minimum);
  if (key.maximum != std::numeric_limits<std::int64_t>::max()) number.set("maximum", key.maximum);
  return schema;
}

Value schema_of(const d2c_option_spec& option) {
  Value schema = Value::table();
  schema.set("type", json_type(option.kind));
  schema.set("description", option.help);
  set_allowed(schema, option.kind, option.allowed_json);
  set_default(schema, option.default_json);
  return schema;
}

/// Plugins may share an option's name and differ in what it takes.
void add_option(Value& properties, const d2c_option_spec& option) {
  Value schema = schema_of(option);
  Value* existing = properties.find(option.name);
  if (existing == nullptr) {
    properties.set(option.name, std::move(schema));
  } else if (Value* choices = existing->find("anyOf")) {
    choices->push_back(std::move(schema));
  } else if (*existing != schema) {
    *existing = Value(Value::Table{{"anyOf", Value::List{*existing, std::move(schema)}}});
  }
}

Value options_schema(const std::vector<const d2c_option_spec*>& options) {
  Value properties = Value::table();
  for (const d2c_option_spec* option : options) add_option(properties, *option);
  return properties;
}

const std::vector<const d2c_option_spec*>* options_of(const SectionSpec& section, const PluginOptions& plugins) {
  for (const std::string_view name : {std::string_view(section.name), parent_of(section)})
    if (const auto it = plugins.find(std::string(name)); it != plugins.end()) return &it->second;
  return nullptr;
}

Value table_schema(const SectionSpec& section, const PluginOptions& plugins);

Value section_schema(const SectionSpec& section, const PluginOptions& plugins) {
  Value table = table_schema(section, plugins);
  if (section.repetition == Repetition::once) return table;
  return Value(Value::Table{{"type", "array"}, {"items", std::move(table)}});
}

Value required_keys(const SectionSpec& section) {
  Value list = Value::list();
  for (const KeySpec& key : section.keys)
    if (key.required) list.push_back(key.name);
  return list;
}

Value table_schema(const SectionSpec& section, const PluginOptions& plugins) {
  const auto* options = options_of(section, plugins);
  Value properties = Value::table();
  for (const KeySpec& key : section.keys) properties.set(key.name, schema_of(key));
  if (options != nullptr && section.plugin_options)
    for (const d2c_option_spec* option : *options) add_option(properties, *option);
  if (Value* nested = properties.find("options"); nested != nullptr && options != nullptr)
    nested->set("properties", options_schema(*options));
  for (const SectionSpec& child : recipe_sections())
    if (*child.name != '\0' && parent_of(child) == section.name)
      properties.set(leaf_of(child), section_schema(child, plugins));

  Value schema = Value::table();
  schema.set("type", "object");
  schema.set("description", section.help);
  schema.set("properties", std::move(properties));
  schema.set("additionalProperties", section.plugin_options && options == nullptr);
  if (Value required = required_keys(section); !required.items().empty()) schema.set("required", std::move(required));
  return schema;
}

// ---------------------------------------------------------------- reference

std::string code(std::string_view text) {
  std::string quoted("`");
  quoted.append(text).append("`");
  return quoted;
}

std::string default_text(const KeySpec& key) {
  if (key.required) return "required";
  return key.default_json == nullptr ? std::string() : code(key.default_json);
}

std::string values_text(const KeySpec& key) {
  if (key.allowed_json == nullptr && key.kind == D2C_VALUE_LIST)
    return std::string("list of ") + json_type(key.item_kind) + "s";
  if (key.allowed_json == nullptr) return json_type(key.kind);
  std::string text;
  const Value allowed = json::parse(key.allowed_json, key.name);
  for (const Value& value : allowed.items()) text.append(text.empty() ? "" : ", ").append(code(json::dump(value)));
  return text;
}

}  // namespace

Value recipe_schema(const PluginOptions& plugin_options) {
  Value schema = Value::table();
  schema.set("$schema", "https://json-schema.org/draft/2020-12/schema");
  schema.set("title", "dolphin2coreml recipe");
  const Value top = table_schema(*find_section(""), plugin_options);
  for (const auto& [key, value] : top.members()) schema.set(key, value);
  return schema;
}

std::string recipe_reference() {
  std::string text;
  for (const SectionSpec& section : recipe_sections()) {
    const std::string title = *section.name == '\0' ? "Top level" : code(title_of(section)) + ": " + section.help;
    text += "### " + title + "\n\n| key | values | default | |\n|---|---|---|---|\n";
    for (const KeySpec& key : section.keys)
      text += "| " + code(key.name) + " | " + values_text(key) + " | " + default_text(key) + " | " + key.help + " |\n";
    if (section.plugin_options) text += "\nFurther keys are options of the plugin.\n";
    text += "\n";
  }
  return text;
}

}  // namespace d2c::host
