// The merge proof of a conversion, for its report.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/executor/executor.hpp"

#include <d2c/value.hpp>

#include <span>

namespace d2c::host {

/// Adds "merge" to every weight that adapters changed and, by stack, to the report. A stack whose change is mostly lost is
/// a warning and one of the notes.
void add_merge_proof(Value& report, const Assembly& assembly, std::span<const WeightResult> results);

}  // namespace d2c::host
