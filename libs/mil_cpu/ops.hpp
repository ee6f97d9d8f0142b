// The ops that the runner knows, by MIL name.
#pragma once

#include "libs/mil_cpu/compiler.hpp"

#include <string_view>

namespace d2c::mil_cpu {

using OpFunction = void (*)(Op&);

/// Null where the op is unknown.
[[nodiscard]] OpFunction find_op(std::string_view type);

struct NamedOp {
  std::string_view type;
  OpFunction add;
};

// One list per file.
[[nodiscard]] std::span<const NamedOp> elementwise_ops();
[[nodiscard]] std::span<const NamedOp> layout_ops();
[[nodiscard]] std::span<const NamedOp> indexing_ops();
[[nodiscard]] std::span<const NamedOp> matrix_ops();
[[nodiscard]] std::span<const NamedOp> reduction_ops();
[[nodiscard]] std::span<const NamedOp> state_ops();

/// The fused attention, and scaled_dot_product_attention.
void add_attention(Op& op, const AttentionPattern& pattern);
void add_scaled_dot_product_attention(Op& op);
/// slice_update into the state it was read from.
void add_update_in_place(Op& op);

}  // namespace d2c::mil_cpu
