// Every key the host knows in a recipe: one table drives validation, defaults, `recipe show`, the JSON Schema and the
// reference in docs/recipe.md.
#pragma once

#include <d2c/abi.h>

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace d2c::host {

struct KeySpec {
  const char* name;
  d2c_value_kind kind;
  const char* default_json;                                         ///< nullptr: absent unless written
  const char* help;                                                 ///< one sentence
  const char* allowed_json = nullptr;                               ///< JSON list, nullptr: any
  std::int64_t minimum = std::numeric_limits<std::int64_t>::min();  ///< numbers
  std::int64_t maximum = std::numeric_limits<std::int64_t>::max();  ///< numbers
  bool is_path = false;  ///< relative paths are resolved against the folder of the file that says so
  bool required = false;
  bool of_subject = false;                    ///< belongs to the section's subject, see there
  d2c_value_kind item_kind = D2C_VALUE_TEXT;  ///< of a list's items: strings or integers
};

/// How the entries of an array of tables join those that a recipe inherits.
enum class Repetition {
  once,      ///< a plain table
  replaced,  ///< inherited entries with the same merge key go, the new ones follow the others
  merged,    ///< merged into the inherited entry with the same merge key
};

struct SectionSpec {
  const char* name;  ///< "" (top level), "quantize", "quantize.rule"
  Repetition repetition;
  const char* merge_key;  ///< arrays of tables
  /// The key that everything plugin-specific hangs on (which plugin, or the input it reads); nullptr: none. A new value
  /// drops inherited plugin options and `of_subject` keys, which were meant for the old one.
  const char* subject;
  bool plugin_options;  ///< unknown keys are kept as options of the section's plugin
  std::span<const KeySpec> keys;
  const char* help;
};

/// In the order of `recipe show`.
[[nodiscard]] std::span<const SectionSpec> recipe_sections();
/// nullptr where there is none of that name.
[[nodiscard]] const SectionSpec* find_section(std::string_view name);
[[nodiscard]] const KeySpec* find_key(const SectionSpec& section, std::string_view name);

/// The section that `key` opens inside `section` ("rule" in "quantize"), nullptr where it opens none.
[[nodiscard]] const SectionSpec* find_subsection(const SectionSpec& section, std::string_view key);

/// What a rule may match beside tensor names.
[[nodiscard]] std::span<const std::string_view> weight_roles();

/// "quantize" of "quantize.rule"; empty for sections of the top level.
[[nodiscard]] std::string_view parent_of(const SectionSpec& section);
/// "rule" of "quantize.rule".
[[nodiscard]] std::string_view leaf_of(const SectionSpec& section);

}  // namespace d2c::host
