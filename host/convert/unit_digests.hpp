// The identity of each unit of work: a digest of everything that determines its bytes and where they lie.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/recipe/recipe.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace d2c::host {

/// Whose files are the same: on this machine by path, size, modification time and inode; anywhere by name and size, so
/// that their contents must be compared apart.
enum class Identity { here, anywhere };

/// A tensor of a source: the plugin that reads it, its name and type, its file.
[[nodiscard]] Value source_identity(const Source& source, std::size_t tensor, Identity where = Identity::here);

/// A stack as the recipe makes it: the merger, its settings, its files.
[[nodiscard]] Value stack_identity(const AdapterStack& stack, const Recipe& recipe, Identity where = Identity::here);

/// One digest per weight, in their order. Plugins count by content.
[[nodiscard]] std::vector<std::string> unit_digests(const Recipe& recipe, const Assembly& assembly,
                                                    Identity where = Identity::here);

}  // namespace d2c::host
