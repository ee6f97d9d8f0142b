// What a plugin says about itself, before any object is made.
#include "host/conformance/rules.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <set>

namespace d2c::host::conformance {
namespace {

constexpr std::array kKinds{D2C_WEIGHT_SOURCE,  D2C_ADAPTER_MERGER, D2C_QUANTIZER, D2C_FUNCTION_EMITTER,
                            D2C_PACKAGE_WRITER, D2C_PACKAGE_READER, D2C_RUNNER,    D2C_FETCHER};

bool consists_of(const std::string& text, bool (*allowed)(char)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

bool is_name(const std::string& text) {
  return consists_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

/// Three numbers with dots, then whatever a pre-release says.
bool is_version(const std::string& text) {
  const std::string core = text.substr(0, text.find_first_of("-+"));
  if (std::count(core.begin(), core.end(), '.') != 2 || core.front() == '.' || core.back() == '.') return false;
  return core.find("..") == std::string::npos && consists_of(core, [](char c) { return c == '.' || std::isdigit(c); });
}

bool is_sentence(const char* text) {
  return text != nullptr && std::strlen(text) > 3 && std::strchr(text, '\n') == nullptr &&
         text[std::strlen(text) - 1] == '.';
}

[[noreturn]] void refuse(const std::string& why) { fail(Code::plugin, why); }

void check_entry(const Plugin& plugin, const Value&) {
  const d2c_plugin_entry& entry = plugin.entry();
  const std::string file = plugin.path().stem().string();
  if (!is_name(entry.name)) refuse("the name '" + plugin.name() + "' is not made of a-z, 0-9 and _");
  if (plugin.name() != file) refuse("the plugin calls itself '" + plugin.name() + "' and its file '" + file + "'");
  if (!is_version(entry.version)) refuse("the version '" + std::string(entry.version) + "' is not like 1.0.0");
  if (!is_sentence(entry.summary)) refuse("the summary is not one sentence with a full stop");
}

void check_kinds(const Plugin& plugin, const Value&) {
  std::set<std::string> seen;
  for (const std::string& kind : plugin.kinds()) {
    if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end()) refuse("there is no kind '" + kind + "'");
    if (!seen.insert(kind).second) refuse("the kind " + kind + " is listed twice");
    if (plugin.entry().factory(kind.c_str()) != plugin.entry().factory(kind.c_str()))
      refuse("asked twice for the factory of " + kind + ", it gave two");
  }
  if (seen.empty()) refuse("the plugin offers no kind at all");
  if (plugin.entry().factory("d2c.conformance_kit/1") != nullptr)
    refuse("a kind that it does not list has a factory nevertheless");
}

bool is_of_kind(const Value& value, d2c_value_kind kind) {
  return value.kind() == kind || (kind == D2C_VALUE_REAL && value.is_number());
}

void check_option(const d2c_option_spec& spec) {
  if (spec.struct_size < sizeof spec || spec.name == nullptr || !is_name(spec.name))
    refuse("an option has no name made of a-z, 0-9 and _");
  const std::string option = std::string("option '") + spec.name + "'";
  if (spec.kind <= D2C_VALUE_NULL || spec.kind > D2C_VALUE_TABLE) refuse(option + " is of no kind");
  if (!is_sentence(spec.help)) refuse(option + " has no help of one sentence with a full stop");
  const Value allowed = spec.allowed_json == nullptr ? Value::list() : json::parse(spec.allowed_json, option);
  if (!allowed.is_list()) refuse(option + ": what it allows is no list");
  if (spec.kind == D2C_VALUE_LIST) return;  // the list holds what its items may be
  for (const Value& value : allowed.items())
    if (!is_of_kind(value, spec.kind)) refuse(option + " allows " + json::dump(value) + ", which is of another kind");
  if (spec.default_json == nullptr) return;
  const Value fallback = json::parse(spec.default_json, option);
  if (!is_of_kind(fallback, spec.kind)) refuse(option + ": its default is of another kind");
  const auto& choices = allowed.items();
  if (spec.allowed_json != nullptr && std::find(choices.begin(), choices.end(), fallback) == choices.end())
    refuse(option + ": its default is not among what it allows");
}

void check_options(const Plugin& plugin, const Value&) {
  for (const std::string& kind : plugin.kinds()) {
    std::set<std::string> seen;
    for (const d2c_option_spec* spec : plugin.options(kind)) {
      check_option(*spec);
      if (!seen.insert(spec->name).second) refuse(std::string("option '") + spec->name + "' is listed twice");
    }
  }
}

constexpr Rule kRules[] = {
    {"entry", "says its name, which is its file's, its version and a summary", check_entry},
    {"kinds", "lists kinds that there are, with a factory for each of them and for no other", check_kinds},
    {"options", "describes every option, with a default that is allowed", check_options},
};

}  // namespace

std::span<const Rule> entry_rules() { return kRules; }

Value with_defaults(const Plugin& plugin, const char* kind, const Value& given) {
  const auto specs = plugin.options(kind);
  for (const auto& [key, value] : given.members()) {
    const bool known = std::any_of(specs.begin(), specs.end(), [&](const auto* s) { return key == s->name; });
    if (!known) fail_usage("plugin '" + plugin.name() + "' has no option '" + key + "'");
  }
  Value options = given;
  for (const d2c_option_spec* spec : specs)
    if (options.find(spec->name) == nullptr && spec->default_json != nullptr)
      options.set(spec->name, json::parse(spec->default_json, spec->name));
  return options;
}

}  // namespace d2c::host::conformance
