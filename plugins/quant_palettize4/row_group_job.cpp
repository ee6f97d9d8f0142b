#include "plugins/quant_palettize4/row_group_job.hpp"

#include "plugins/quant_palettize4/pack.hpp"

#include <algorithm>
#include <cstring>

namespace d2c::palettize4 {
namespace {

void append_indices(std::span<const std::uint16_t> values, Scratch& scratch, IndexStream& stream) {
  while (!values.empty()) {
    const auto chunk = values.first(std::min(values.size(), kChunk));
    scratch.assigner.assign(chunk, scratch.indices.data());
    stream.append({scratch.indices.data(), chunk.size()});
    values = values.subspan(chunk.size());
  }
}

void add_to(d2c_tile_stats& stats, const Palette& palette, std::size_t distinct) {
  stats.squared_error += palette.squared_error;
  stats.squared_sum += palette.squared_sum;
  stats.max_error = std::max(stats.max_error, palette.max_error);
  stats.groups += 1;
  stats.groups_certified += palette.certified;
  stats.distinct_values += static_cast<std::int64_t>(distinct);
  stats.excess_bound += palette.excess;
}

}  // namespace

/// Solves for the group at `first_row`, its padding left out.
Palette RowGroupJob::solve(std::span<const std::uint16_t> values, std::int64_t first_row, Scratch& scratch) const {
  const std::int64_t real_rows = std::min(shape_.group_rows, shape_.rows - first_row);
  scratch.histogram.add(values.first(static_cast<std::size_t>(real_rows * shape_.columns)));
  if (scratch.histogram.has_nonfinite()) {
    scratch.histogram.clear();
    fail_input(weight_ + ": rows " + std::to_string(first_row) + " to " + std::to_string(first_row + real_rows - 1) +
               " hold an infinity or a NaN, which no palette can represent");
  }
  scratch.histogram.drain(scratch.distribution);
  return scratch.solver.solve(scratch.distribution, solving_.entries(), solving_.allowance);
}

void RowGroupJob::process(const Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) {
  if (tile.first_row % shape_.group_rows != 0 || tile.rows % shape_.group_rows != 0 ||
      tile.first_row + tile.rows - shape_.group_rows >= shape_.rows)
    fail(Code::plugin, weight_ + ": a tile does not consist of whole groups");

  const auto scratch = scratch_->take();
  const auto values = tile.as<std::uint16_t>(shape_.columns);
  const auto group_values = static_cast<std::size_t>(shape_.group_rows * shape_.columns);
  IndexStream stream(solving_.bits, planes[0]);
  auto* lut = static_cast<std::byte*>(planes[1]);
  for (std::int64_t row = 0; row < tile.rows; row += shape_.group_rows) {
    const auto group = values.subspan(static_cast<std::size_t>(row * shape_.columns), group_values);
    const Palette palette = solve(group, tile.first_row + row, *scratch);
    std::memcpy(lut, palette.entries.data(), palette.view().size_bytes());
    lut += palette.view().size_bytes();
    scratch->assigner.set_palette(palette.view());
    append_indices(group, *scratch, stream);
    add_to(stats, palette, scratch->distribution.size());
  }
  stream.finish();
}

}  // namespace d2c::palettize4
