// Which file an address of this process belongs to.
#pragma once

#include <span>

namespace d2c::host {

/// Writes the NUL-terminated path of the data file that is mapped at `address`. False where there is none, it is a library,
/// or the system does not tell. Callable from a signal handler.
[[nodiscard]] bool find_mapped_file(const void* address, std::span<char> path) noexcept;

}  // namespace d2c::host
