// The identity of each unit of work: a digest of everything that determines its bytes and where they lie.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/recipe/recipe.hpp"

#include <string>
#include <vector>

namespace d2c::host {

/// One digest per weight, in their order. Files count by path, size, modification time and inode, plugins by content.
[[nodiscard]] std::vector<std::string> unit_digests(const Recipe& recipe, const Assembly& assembly);

}  // namespace d2c::host
