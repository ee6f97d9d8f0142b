// `lint`: a finished package against the guardrails.
#pragma once

#include <d2c/value.hpp>

#include <string>
#include <vector>

namespace d2c::host::cli {

struct Arguments;

struct LintOptions {
  std::string compute_units = "CPU_AND_GPU";
  std::vector<std::string> accept;
  bool reference = false;  ///< print docs/guardrails.md instead
};

/// CheckFailed where the package goes against a rule that is an error.
[[nodiscard]] std::string lint(const Arguments& arguments);

/// "warning: ..." line by line, from the list that reports hold.
[[nodiscard]] std::string guardrails_text(const Value& findings);

}  // namespace d2c::host::cli
