// The facts that guardrails look at, of a package that is only planned.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/guardrails/guardrails.hpp"

#include <vector>

namespace d2c::host {

/// What the recipe's package goes against; see check_guardrails.
[[nodiscard]] std::vector<Finding> check_guardrails(const Recipe& recipe, const Assembly& assembly);

}  // namespace d2c::host
