// A file that is written and read at fixed places, by any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace d2c::host {

/// Failures are Error(resource) with the file's name, Error(input) where it was opened to be read. Const members are
/// thread-safe.
class PositionedFile {
 public:
  enum class Access { read, write };

  /// `write` makes the file where it is missing and keeps what it holds.
  PositionedFile(std::filesystem::path path, Access access);
  ~PositionedFile();
  PositionedFile(const PositionedFile&) = delete;
  PositionedFile& operator=(const PositionedFile&) = delete;

  [[nodiscard]] std::uint64_t size() const;
  void resize(std::uint64_t size) const;
  void write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  /// Fills all of `bytes`.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;
  /// Makes everything written durable.
  void sync() const;

  /// Hints to the page cache, without effect where the system takes none: bytes that will be read soon, and bytes that
  /// nobody needs any more.
  void will_need(std::uint64_t offset, std::uint64_t size) const noexcept;
  void done_with(std::uint64_t offset, std::uint64_t size) const noexcept;

 private:
  [[noreturn]] void give_up(const char* what) const;

  std::filesystem::path path_;
  Access access_;
  int fd_;
};

}  // namespace d2c::host
