// Files that are on the disk when we say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace d2c::coreml_writer {

/// A file written at any offset. All failures are Error(resource).
class DurableFile {
 public:
  /// Opens for writing; creates the file or keeps what is in it.
  static DurableFile open(const std::filesystem::path& path);
  DurableFile(DurableFile&& other) noexcept;
  DurableFile& operator=(DurableFile&& other) noexcept;
  ~DurableFile();

  /// Makes the file exactly `size` bytes long with disk space behind each of them where the file system can promise it.
  void reserve(std::uint64_t size);
  /// Thread-safe.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;
  /// Waits until everything written is on the disk.
  void sync() const;

 private:
  DurableFile(int descriptor, std::filesystem::path path) : descriptor_(descriptor), path_(std::move(path)) {}

  int descriptor_ = -1;
  std::filesystem::path path_;
};

/// Replaces a file's contents and syncs it.
void write_durably(const std::filesystem::path& path, std::string_view bytes);

/// Makes the folder's entries durable.
void sync_directory(const std::filesystem::path& path);

}  // namespace d2c::coreml_writer
