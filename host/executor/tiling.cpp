#include "host/executor/tiling.hpp"

#include <algorithm>

namespace d2c::host {

Tiling::Tiling(const d2c_layout& layout, std::span<const std::int64_t> shape)
    : layout_(layout), rows_(rows_of(shape)), columns_(columns_of(shape)) {
  const std::int64_t step = std::max<std::int64_t>(1, layout.tile_rows);
  const std::int64_t wanted = std::max<std::int64_t>(1, kTileElements / std::max<std::int64_t>(1, columns_));
  tile_rows_ = std::max<std::int64_t>(1, wanted / step) * step;
  count_ = (layout.padded_rows + tile_rows_ - 1) / tile_rows_;
}

std::int64_t Tiling::rows(std::int64_t tile) const noexcept {
  return std::min(tile_rows_, layout_.padded_rows - first_row(tile));
}

std::int64_t Tiling::real_rows(std::int64_t tile) const noexcept {
  return std::clamp<std::int64_t>(rows_ - first_row(tile), 0, rows(tile));
}

PlaneRange Tiling::range(std::uint32_t plane, std::int64_t tile) const {
  const d2c_plane& p = layout_.planes[plane];
  const TensorType type = TensorType::from_c(p.type);
  if (p.rows_per_slice == 0) return tile == 0 ? PlaneRange{0, static_cast<std::uint64_t>(type.bytes())} : PlaneRange{};
  const std::int64_t slice = columns_of(type.shape);
  const auto bytes = [&](std::int64_t rows) {
    return static_cast<std::uint64_t>(bytes_of(type.dtype, rows / p.rows_per_slice * slice));
  };
  return {bytes(first_row(tile)), bytes(rows(tile))};
}

std::uint64_t Tiling::largest_output() const {
  std::uint64_t total = 0;
  for (std::uint32_t p = 0; p < layout_.plane_count; ++p) total += range(p, 0).size;
  return total;
}

}  // namespace d2c::host
