// Two checkpoints compared tensor by tensor, a few megabytes at a time.
#pragma once

#include "host/planner/source.hpp"

#include <d2c/value.hpp>

namespace d2c::host {

struct DiffOptions {
  double tolerance = 0;  ///< largest difference that counts as equal; 0: the same type and the same bytes
};

/// Keys: "equal", "compared", "different" [{name, reason or max_abs, relative, cosine, type_a, type_b}], "missing" (in b)
/// and "extra" (in b) [name].
[[nodiscard]] Value diff(const Source& a, const Source& b, const DiffOptions& options);

}  // namespace d2c::host
