// The files that travel with a package's weights.
#pragma once

#include "host/loader/plugin_registry.hpp"

#include <filesystem>
#include <map>
#include <string>

namespace d2c::host {

/// Name -> where it lies. Error(input) where no reader knows the package.
[[nodiscard]] std::map<std::string, std::filesystem::path> attachments(PluginRegistry& plugins,
                                                                       const std::string& package);

}  // namespace d2c::host
