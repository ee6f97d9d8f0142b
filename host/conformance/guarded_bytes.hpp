// Memory that tells when somebody steps out of it.
#pragma once

#include <cstddef>
#include <span>

namespace d2c::host::conformance {

/// Starts at a multiple of 16. Behind its last 16 bytes lies a page that cannot be touched; what is left of those 16, and
/// what lies before the first byte, is watched.
class GuardedBytes {
 public:
  GuardedBytes(std::size_t size, std::byte fill);
  ~GuardedBytes();
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  /// Are the watched bytes as they were?
  [[nodiscard]] bool intact() const noexcept;

 private:
  std::span<std::byte> mapping_;  // the page that cannot be touched left out
  std::span<std::byte> bytes_;
};

}  // namespace d2c::host::conformance
