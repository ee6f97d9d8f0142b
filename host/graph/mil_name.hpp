// Names of MIL values.
#pragma once

#include <string>
#include <string_view>

namespace d2c::host {

/// [A-Za-z_][A-Za-z0-9_]* and none of MIL's reserved words.
[[nodiscard]] bool is_mil_name(std::string_view name);

/// The nearest legal name: "model.norm.weight" gives "model_norm_weight".
[[nodiscard]] std::string legal_mil_name(std::string_view hint);

}  // namespace d2c::host
