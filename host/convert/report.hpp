// Plans and results as values with stable keys, for people and for `--json`. The keys are listed in docs/reports.md.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/executor/executor.hpp"

#include <d2c/value.hpp>

#include <span>

namespace d2c::host {

/// "recipe", "model", "functions", "weights", "roles", "weight_bytes", "elements", "bits_per_weight", "adapters", "notes".
[[nodiscard]] Value describe(const Recipe& recipe, const Assembly& assembly);

/// Adds to "weights" what happened to each, and "rounding" and "quantization" totals.
void add_results(Value& report, const Assembly& assembly, std::span<const WeightResult> results);

/// "d2c.*" metadata of the package: what the program's emitters set, and of its description the tool, the recipe, the
/// quantization by role and the adapters.
[[nodiscard]] std::map<std::string, std::string> package_metadata(const Program& program, const Value& description);

}  // namespace d2c::host
