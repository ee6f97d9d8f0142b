#include "plugins/quant_palettize4/column_group_job.hpp"

#include "libs/numeric/convert.hpp"
#include "plugins/quant_palettize4/pack.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace d2c::palettize4 {
namespace {

/// Adds the errors of `values` to the tile's, one after the other.
void add_errors(std::span<const float> values, const std::uint8_t* indices, const float* entries,
                d2c_tile_stats& stats) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    const double error = std::abs(value - entries[indices[i]]);
    stats.squared_error += error * error;
    stats.squared_sum += value * value;
    stats.max_error = std::max(stats.max_error, error);
  }
}

}  // namespace

ColumnGroupJob::ColumnGroupJob(std::string weight, Shape shape, Solving solving, std::shared_ptr<ScratchPool> scratch)
    : weight_(std::move(weight)),
      shape_(shape),
      solving_(solving),
      scratch_(std::move(scratch)),
      histograms_(static_cast<std::size_t>(shape.columns / shape.group_columns)) {}

void ColumnGroupJob::observe(const Tile& tile) {
  if (tile.first_row != observed_rows_ || tile.first_row + tile.rows > shape_.rows)
    fail(Code::plugin, weight_ + ": tiles were not shown in row order");
  const auto width = static_cast<std::size_t>(shape_.group_columns);
  auto values = tile.as<std::uint16_t>(shape_.columns);
  for (std::int64_t row = 0; row < tile.rows; ++row) {
    for (Histogram& histogram : histograms_) {
      histogram.add(values.first(width));
      values = values.subspan(width);
    }
  }
  observed_rows_ += tile.rows;
}

void ColumnGroupJob::solve_once(Scratch& scratch) {
  const std::lock_guard lock(mutex_);
  if (solved_) return;
  if (observed_rows_ != shape_.rows) fail(Code::plugin, weight_ + ": a tile came before all rows were shown");
  groups_.resize(histograms_.size());
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (histograms_[g].has_nonfinite()) {
      const std::int64_t first = static_cast<std::int64_t>(g) * shape_.group_columns;
      fail_input(weight_ + ": columns " + std::to_string(first) + " to " +
                 std::to_string(first + shape_.group_columns - 1) +
                 " hold an infinity or a NaN, which no palette can represent");
    }
    histograms_[g].drain(scratch.distribution);
    Group& group = groups_[g];
    group.palette = scratch.solver.solve(scratch.distribution, solving_.entries(), solving_.allowance);
    group.assigner.set_palette(group.palette.view());
    group.distinct = scratch.distribution.size();
    numeric::to_float(DType::f16, group.palette.entries.data(), group.palette.size, group.entries.data());
  }
  std::vector<Histogram>().swap(histograms_);
  solved_ = true;
}

void ColumnGroupJob::write_palettes(void* lut, d2c_tile_stats& stats) const {
  auto* out = static_cast<std::byte*>(lut);
  for (const Group& group : groups_) {
    std::memcpy(out, group.palette.entries.data(), group.palette.view().size_bytes());
    out += group.palette.view().size_bytes();
    stats.groups += 1;
    stats.groups_certified += group.palette.certified;
    stats.distinct_values += static_cast<std::int64_t>(group.distinct);
    stats.excess_bound += group.palette.excess;
  }
}

void ColumnGroupJob::process(const Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) {
  const auto scratch = scratch_->take();
  solve_once(*scratch);
  if (tile.first_row == 0) write_palettes(planes[1], stats);

  const auto width = static_cast<std::size_t>(shape_.group_columns);
  auto values = tile.as<std::uint16_t>(shape_.columns);
  IndexStream stream(solving_.bits, planes[0]);
  for (std::int64_t row = 0; row < tile.rows; ++row) {
    for (const Group& group : groups_) {
      for (std::size_t left = width; left != 0;) {
        const auto chunk = values.first(std::min(left, kChunk));
        group.assigner.assign(chunk, scratch->indices.data());
        stream.append({scratch->indices.data(), chunk.size()});
        numeric::to_float(DType::f16, chunk.data(), chunk.size(), scratch->values.data());
        add_errors({scratch->values.data(), chunk.size()}, scratch->indices.data(), group.entries.data(), stats);
        values = values.subspan(chunk.size());
        left -= chunk.size();
      }
    }
  }
  stream.finish();
}

std::size_t ColumnGroupJob::bytes(std::size_t groups, std::size_t entries) noexcept {
  return sizeof(ColumnGroupJob) +
         groups * (sizeof(Histogram) + Histogram::kBytes + sizeof(Group) + Assigner::bytes(entries));
}

}  // namespace d2c::palettize4
