// A recipe's layers: what it extends, the file itself, the flags. Later layers win.
#pragma once

#include "host/recipe/document.hpp"
#include "host/recipe/recipe.hpp"

#include <filesystem>
#include <span>

namespace d2c::host {

/// Reads and checks a file and everything it extends and merges them. Relative paths in it are resolved.
[[nodiscard]] Node load_layers(const std::filesystem::path& file);

/// Merges `layer` over `base`.
void merge_document(Node& base, Node layer);

/// Sets what the overrides say, in order; those that choose a plugin or a model come first, since they drop options.
void apply_overrides(Node& document, std::span<const Override> overrides);

}  // namespace d2c::host
