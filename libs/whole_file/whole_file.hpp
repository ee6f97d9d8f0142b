// Small files, read at once.
#pragma once

#include <cstdint>
#include <string>

namespace d2c {

/// All bytes of a regular file. Error(input) with file and cause where it cannot be read, is no regular file or has more
/// than `max_bytes`.
[[nodiscard]] std::string read_whole_file(const std::string& path, std::uint64_t max_bytes);

}  // namespace d2c
