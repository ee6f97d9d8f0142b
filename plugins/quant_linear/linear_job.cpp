#include "plugins/quant_linear/linear_job.hpp"

#include "libs/numeric/convert.hpp"
#include "plugins/quant_linear/level_stream.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace d2c::linear {
namespace {

bool is_finite(std::uint16_t half) noexcept { return (half & 0x7c00u) != 0x7c00u; }

/// The offsets of the blocks, row after row.
class OffsetStream {
 public:
  OffsetStream(const Grid& grid, void* out) : kind_(grid.offset), halves_(out), levels_(grid.bits, false, out) {}

  void append(std::span<const Fit> fits) {
    if (kind_ == OffsetKind::integer)
      for (const Fit& fit : fits) {
        const auto level = static_cast<std::uint8_t>(fit.offset);
        levels_.append({&level, 1});
      }
    if (kind_ == OffsetKind::fp16)
      for (const Fit& fit : fits) {
        const std::uint16_t half = float_to_half(fit.offset);
        std::memcpy(halves_, &half, sizeof half);
        halves_ = static_cast<std::byte*>(halves_) + sizeof half;
      }
  }
  void finish() {
    if (kind_ == OffsetKind::integer) levels_.finish();
  }

 private:
  OffsetKind kind_;
  void* halves_;
  LevelStream levels_;
};

}  // namespace

/// What one row becomes. Kept from row to row of a tile.
struct LinearJob::Row {
  explicit Row(const Shape& shape)
      : weights(static_cast<std::size_t>(shape.columns)),
        restored(weights.size()),
        halves(weights.size()),
        levels(weights.size()),
        fits(static_cast<std::size_t>(shape.blocks())) {}

  std::vector<float> weights;
  std::vector<float> restored;
  std::vector<std::uint16_t> halves;
  std::vector<std::uint8_t> levels;
  std::vector<Fit> fits;
};

void LinearJob::quantize(std::span<const std::uint16_t> halves, std::int64_t index, Row& row) const {
  if (!std::all_of(halves.begin(), halves.end(), is_finite))
    fail_input(weight_ + ": row " + std::to_string(index) +
               " holds an infinity or a NaN, which no scale can represent");
  numeric::to_float(DType::f16, halves.data(), halves.size(), row.weights.data());
  const auto size = static_cast<std::size_t>(shape_.block);
  for (std::size_t b = 0; b < row.fits.size(); ++b) {
    const std::span block(row.weights.data() + b * size, size);
    row.fits[b] = search_ ? fit_least_squares(grid_, block) : fit_range(grid_, block);
    quantize_block(grid_, row.fits[b], block, row.levels.data() + b * size, row.restored.data() + b * size);
  }
}

/// Against the weights as whoever reads the package has them: rounded to fp16.
void LinearJob::add_errors(Row& row, d2c_tile_stats& stats) const {
  numeric::float_to_half(row.restored.data(), row.restored.size(), row.halves.data());
  numeric::to_float(DType::f16, row.halves.data(), row.halves.size(), row.restored.data());
  for (std::size_t i = 0; i < row.weights.size(); ++i) {
    const double value = row.weights[i];
    const double error = std::abs(value - row.restored[i]);
    stats.squared_error += error * error;
    stats.squared_sum += value * value;
    stats.max_error = std::max(stats.max_error, error);
  }
}

void LinearJob::process(const Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) {
  if (tile.first_row < 0 || tile.rows < 1 || tile.rows > shape_.rows - tile.first_row)
    fail(Code::plugin, weight_ + ": a tile does not lie in the weight");
  Row row(shape_);
  LevelStream levels(grid_.bits, grid_.offset == OffsetKind::none, planes[0]);
  auto* scales = static_cast<std::byte*>(planes[1]);
  OffsetStream offsets(grid_, planes.size() > 2 ? planes[2] : nullptr);
  auto halves = tile.as<std::uint16_t>(shape_.columns);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const auto width = static_cast<std::size_t>(shape_.columns);
    quantize(halves.first(width), tile.first_row + r, row);
    halves = halves.subspan(width);
    levels.append(row.levels);
    for (const Fit& fit : row.fits) {
      std::memcpy(scales, &fit.scale, sizeof fit.scale);
      scales += sizeof fit.scale;
    }
    offsets.append(row.fits);
    add_errors(row, stats);
  }
  levels.finish();
  offsets.finish();
}

std::size_t LinearJob::scratch_bytes(const Shape& shape) noexcept {
  constexpr std::size_t kPerColumn = 2 * sizeof(float) + sizeof(std::uint16_t) + sizeof(std::uint8_t);
  return static_cast<std::size_t>(shape.columns) * kPerColumn + static_cast<std::size_t>(shape.blocks()) * sizeof(Fit);
}

}  // namespace d2c::linear
