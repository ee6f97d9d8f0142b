// Random-access bytes behind one interface: a file read by position, or memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace d2c::source_gguf {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  /// Opens every error message.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// Thread-safe. Fills `out` from `offset`; Error(input) where the range leaves the source or cannot be read.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 protected:
  explicit ByteSource(std::string name, std::uint64_t size = 0) : name_(std::move(name)), size_(size) {}
  virtual void read_within(std::uint64_t offset, std::span<std::byte> out) const = 0;

  std::string name_;
  std::uint64_t size_;
};

class FileBytes final : public ByteSource {
 public:
  /// Error(input) where `path` is not a readable regular file.
  explicit FileBytes(const std::string& path);
  ~FileBytes() override;

 private:
  void read_within(std::uint64_t offset, std::span<std::byte> out) const override;
  int descriptor_;
};

/// Does not own the bytes.
class MemoryBytes final : public ByteSource {
 public:
  MemoryBytes(std::string name, std::span<const std::byte> bytes)
      : ByteSource(std::move(name), bytes.size()), bytes_(bytes) {}

 private:
  void read_within(std::uint64_t offset, std::span<std::byte> out) const override;
  std::span<const std::byte> bytes_;
};

}  // namespace d2c::source_gguf
