// How a weight is cut into tiles and where each tile's bytes go: pure arithmetic on a layout.
#pragma once

#include <d2c/abi.h>
#include <d2c/tensor.hpp>

#include <cstdint>
#include <span>

namespace d2c::host {

/// Tiles hold about this many elements, whatever the threads and the memory: sums over tiles are then always the same.
inline constexpr std::int64_t kTileElements = std::int64_t{1} << 20;

struct PlaneRange {
  std::uint64_t offset = 0;  ///< bytes from the start of the plane
  std::uint64_t size = 0;    ///< 0: this tile writes nothing of the plane
};

class Tiling {
 public:
  /// `shape` is the weight's before padding.
  Tiling(const d2c_layout& layout, std::span<const std::int64_t> shape);

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] std::int64_t columns() const noexcept { return columns_; }
  [[nodiscard]] std::int64_t first_row(std::int64_t tile) const noexcept { return tile * tile_rows_; }
  /// Rows of the tile, padding included.
  [[nodiscard]] std::int64_t rows(std::int64_t tile) const noexcept;
  /// Those of them that the weight really has.
  [[nodiscard]] std::int64_t real_rows(std::int64_t tile) const noexcept;
  [[nodiscard]] PlaneRange range(std::uint32_t plane, std::int64_t tile) const;
  /// Elements of the largest tile.
  [[nodiscard]] std::int64_t largest() const noexcept { return rows(0) * columns_; }
  /// Bytes of all planes of the largest tile.
  [[nodiscard]] std::uint64_t largest_output() const;

 private:
  const d2c_layout& layout_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::int64_t tile_rows_;
  std::int64_t count_;
};

}  // namespace d2c::host
