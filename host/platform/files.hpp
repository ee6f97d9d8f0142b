// File operations that operating systems spell differently.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace d2c::host {

/// Swaps two paths in one step where the file system can, else moves `to` into `from`'s folder first.
/// False with errno set where neither works.
[[nodiscard]] bool exchange(const std::filesystem::path& from, const std::filesystem::path& to);

/// Makes the entries of a directory durable; Error(resource) where that fails. A file system that cannot do so is taken as
/// it is.
void sync_directory(const std::filesystem::path& directory);

/// Writes a file and makes its bytes durable; Error(resource) where that fails.
void write_durably(const std::filesystem::path& file, std::string_view text);

/// Disk space a file holds, 0 where it cannot be examined.
[[nodiscard]] std::uint64_t allocated_bytes(const std::filesystem::path& file);

/// Size, inode, and the times of the last modification and of the last change to anything, as text, to tell whether a file
/// is still the same; empty where it cannot be looked at.
[[nodiscard]] std::string file_identity(const std::filesystem::path& file);

}  // namespace d2c::host
