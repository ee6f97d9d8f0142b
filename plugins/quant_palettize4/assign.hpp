// Finds the nearest palette entry of every value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace d2c::palettize4 {

/// Small palettes compare with the borders between entries, large ones look up a table over all fp16 bits.
class Assigner {
 public:
  /// `entries`: a power of two from 2 to 256 finite fp16 values, ascending; only the last may repeat, none is -0.0.
  /// Keeps its memory from palette to palette.
  void set_palette(std::span<const std::uint16_t> entries);

  /// The index of the nearest entry, the lowest of several equally near ones. [any-thread]
  void assign(std::span<const std::uint16_t> values, std::uint8_t* indices) const;

  /// Memory held for palettes of `entries` entries.
  [[nodiscard]] static std::size_t bytes(std::size_t entries) noexcept;

 private:
  std::vector<std::int16_t> borders_;  ///< order_key of the largest value of each entry but the last
  std::vector<std::uint8_t> table_;    ///< index by fp16 bits; empty for small palettes
};

}  // namespace d2c::palettize4
