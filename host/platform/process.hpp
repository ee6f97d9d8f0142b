// Facts about the running process that each operating system tells in its own way.
#pragma once

#include <cstdint>
#include <filesystem>

namespace d2c::host {

/// The program's file, links resolved; empty where the system does not tell.
[[nodiscard]] std::filesystem::path program_file();

/// Bytes of memory the process holds now, mapped pages included; 0 where the system does not tell.
[[nodiscard]] std::uint64_t resident_memory() noexcept;

/// Memory of the machine; 0 where the system does not tell.
[[nodiscard]] std::uint64_t physical_memory() noexcept;

/// The most it has held so far.
[[nodiscard]] std::uint64_t peak_resident_memory() noexcept;

/// Bytes the process has read through system calls so far; 0 where the system does not count them.
[[nodiscard]] std::uint64_t bytes_read() noexcept;

/// Bytes that the C allocator has handed out and not got back; 0 where that is not known.
[[nodiscard]] std::uint64_t heap_in_use() noexcept;

/// Files the process has open, among the first thousand descriptors.
[[nodiscard]] int open_files() noexcept;

}  // namespace d2c::host
