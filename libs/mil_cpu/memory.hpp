// Zeroed memory that costs nothing until it is used.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace d2c::mil_cpu {

/// Pages from the system: zero, aligned to pages, taken up when first written. Move-only.
class ZeroedMemory {
 public:
  ZeroedMemory() = default;
  /// Error(resource) names `what` the memory was for.
  ZeroedMemory(std::size_t size, const std::string& what);
  ~ZeroedMemory();
  ZeroedMemory(ZeroedMemory&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  ZeroedMemory& operator=(ZeroedMemory&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace d2c::mil_cpu
