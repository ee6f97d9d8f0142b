// The order of fp16 values in terms of their bits.
#pragma once

#include <cstdint>

namespace d2c::palettize4 {

inline constexpr std::uint16_t kHalfSign = 0x8000u;
inline constexpr std::uint16_t kHalfInfinity = 0x7c00u;

/// Keys order like the values: key(a) < key(b) wherever a < b. -0.0 has the key -1 of its own, just below 0.0.
constexpr std::int16_t order_key(std::uint16_t bits) noexcept {
  return static_cast<std::int16_t>(bits & kHalfSign ? bits ^ 0x7fffu : bits);
}

constexpr std::uint16_t bits_of_key(std::int16_t key) noexcept {
  const auto bits = static_cast<std::uint16_t>(key);
  return static_cast<std::uint16_t>(bits & kHalfSign ? bits ^ 0x7fffu : bits);
}

}  // namespace d2c::palettize4
