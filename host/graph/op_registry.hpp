// The MIL ops that graphs may hold, with their parameters and shape rules.
#pragma once

#include "host/graph/op_call.hpp"

#include <span>
#include <string_view>

namespace d2c::host {

/// Null where no graph may hold that op.
[[nodiscard]] const OpSpec* find_op(std::string_view type);

// One table per family.
[[nodiscard]] std::span<const OpSpec> elementwise_ops();
[[nodiscard]] std::span<const OpSpec> matrix_ops();
[[nodiscard]] std::span<const OpSpec> reduction_ops();
[[nodiscard]] std::span<const OpSpec> layout_ops();
[[nodiscard]] std::span<const OpSpec> indexing_ops();
[[nodiscard]] std::span<const OpSpec> state_ops();

}  // namespace d2c::host
