// How full a KV cache is, measured from the runner's own state buffers.
#pragma once

#include <d2c/plugin.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace d2c::host {

struct KvUsage {
  std::int64_t allocated_bytes = 0;
  std::int64_t bytes_per_token = 0;
  std::int64_t context = 0;   ///< tokens the cache holds
  std::int64_t position = 0;  ///< tokens the session says it holds
  std::int64_t occupied = 0;  ///< of the first `position` token rows, those that hold anything but zeros
  std::int64_t stale = 0;     ///< rows from `position` on that hold something: padding, or tokens taken back

  [[nodiscard]] bool consistent() const noexcept { return occupied == position; }
};

/// A state and its bytes. The axis of tokens is the last but one.
struct CacheView {
  TensorType type;
  std::span<const std::byte> bytes;
};

[[nodiscard]] KvUsage measure_kv(std::span<const CacheView> caches, std::int64_t position);

}  // namespace d2c::host
