// The name someone probably meant.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::host {

/// Edits (insert, delete, replace, swap neighbours) between two names; names over 64 characters are infinitely far.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// "; did you mean 'bits'?", or nothing where no candidate is near.
[[nodiscard]] std::string did_you_mean(std::string_view name, std::span<const std::string> candidates);

}  // namespace d2c::host
