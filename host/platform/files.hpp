// File operations that operating systems spell differently.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace d2c::host {

/// Swaps two paths in one step where the file system can, else moves `to` into `from`'s folder first.
/// False with errno set where neither works.
[[nodiscard]] bool exchange(const std::filesystem::path& from, const std::filesystem::path& to);

/// Makes renames in a directory durable. Best effort: some file systems refuse to sync directories.
void sync_directory(const std::filesystem::path& directory);

/// Makes a file's bytes durable; Error(resource) where that fails.
void sync_file(const std::filesystem::path& file);

/// Disk space a file holds, 0 where it cannot be examined.
[[nodiscard]] std::uint64_t allocated_bytes(const std::filesystem::path& file);

/// Size, modification time and inode of a file as text, to tell whether it is still the same; empty where it cannot
/// be examined.
[[nodiscard]] std::string file_identity(const std::filesystem::path& file);

}  // namespace d2c::host
