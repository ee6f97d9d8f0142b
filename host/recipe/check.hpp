// Whether a recipe says only what a recipe may say.
#pragma once

#include "host/recipe/document.hpp"
#include "host/recipe/keys.hpp"

#include <d2c/abi.h>
#include <d2c/value.hpp>

#include <string>
#include <vector>

namespace d2c::host {

struct Constraint {
  d2c_value_kind kind;
  const char* allowed_json = nullptr;  ///< for lists: of the items
};

/// Error(usage) "ORIGIN: LABEL must be ..." where the value does not fit. Integers serve as reals.
void check_value(const Value& value, const Constraint& constraint, const std::string& label, const std::string& origin);

/// Checks every key, type and value that the host knows. Options of plugins are left to `check_options`.
void check_document(const Node& document);

/// How people write the section: "[quantize]", "[[quantize.rule]]".
[[nodiscard]] std::string title_of(const SectionSpec& section);

/// The keys and sub-sections that may stand in a section.
[[nodiscard]] std::vector<std::string> names_in(const SectionSpec& section);

}  // namespace d2c::host
