// The few calls that differ between Linux and macOS.
#pragma once

#include <cstdint>
#include <filesystem>

namespace d2c::host::platform {

/// Swaps two paths in one step where the file system can, else moves `to` into `from`'s folder first.
/// False with errno set where neither works.
[[nodiscard]] bool exchange(const std::filesystem::path& from, const std::filesystem::path& to);

/// Makes renames in a directory durable. Best effort: some file systems refuse to sync directories.
void sync_directory(const std::filesystem::path& directory);

/// Disk space a file holds, 0 where it cannot be read.
[[nodiscard]] std::uint64_t allocated_bytes(const std::filesystem::path& file);

/// Resident memory of this process in bytes: now, and at its peak.
[[nodiscard]] std::uint64_t resident_bytes();
[[nodiscard]] std::uint64_t peak_resident_bytes();

/// Bytes this process has read through system calls so far (0 where the system does not count them).
[[nodiscard]] std::uint64_t bytes_read();

}  // namespace d2c::host::platform
