// A package read back.
#pragma once

#include "host/loader/plugin_registry.hpp"

#include <string>

namespace d2c::host {

/// What a reader tells of the package. Error(input) where none knows it.
[[nodiscard]] Value describe_package(PluginRegistry& plugins, const std::string& package);

}  // namespace d2c::host
