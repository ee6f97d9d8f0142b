// Two checkpoints or packages compared tensor by tensor, a few megabytes at a time.
#pragma once

#include "host/diff/tensors.hpp"

#include <d2c/value.hpp>

namespace d2c::host {

struct DiffOptions {
  double tolerance = 0;  ///< largest difference that counts as equal; 0: the same type and the same bytes
};

/// Keys: "equal", "compared", "different" [{name, reason or max_abs, relative, cosine, type_a, type_b}], "missing" (in b)
/// and "extra" (in b) [name].
///
/// Where one of the two is a package, numbers are compared, whatever their storage; names count as equal that MIL writes
/// the same; rows of padding are left out; and of what only a package has nothing is held against it.
[[nodiscard]] Value diff(const Tensors& a, const Tensors& b, const DiffOptions& options);

}  // namespace d2c::host
