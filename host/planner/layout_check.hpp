// What the plan asks of a quantizer's layout.
#pragma once

#include <d2c/plugin.hpp>

#include <string>

namespace d2c::host {

/// What the weight is once expanded: a palette gives its entries, a block-wise scheme its scales' type.
[[nodiscard]] DType expanded_dtype(const d2c_layout& layout);

/// A quantizer is foreign code: what it plans must hold together before bytes are placed by it. Error(plugin) says what
/// does not.
void check_layout(const d2c_layout& layout, const std::string& tensor, const Shape& shape, const std::string& plugin);

}  // namespace d2c::host
