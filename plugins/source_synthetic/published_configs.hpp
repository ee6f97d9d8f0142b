// config.json of published Llama models, by short name.
#pragma once

#include <d2c/value.hpp>

#include <string>

namespace d2c::source_synthetic {

/// Error(input) with the list of names where there is none of that name.
[[nodiscard]] Value published_config(const std::string& name);

}  // namespace d2c::source_synthetic
