// The identity of each unit of work: a digest of everything that determines its bytes and where they lie.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/recipe/recipe.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace d2c::host {

/// A tensor of a source: the plugin that reads it, its name and type, its file.
[[nodiscard]] Value source_identity(const Source& source, std::size_t tensor);

/// A stack as the recipe makes it: the merger, its settings, its files.
[[nodiscard]] Value stack_identity(const AdapterStack& stack, const Recipe& recipe);

/// One digest per weight, in their order. Files count by path, size, modification time and inode, plugins by content.
[[nodiscard]] std::vector<std::string> unit_digests(const Recipe& recipe, const Assembly& assembly);

}  // namespace d2c::host
