// Palettes of bands of rows: every tile holds whole groups and stands alone.
#pragma once

#include "plugins/quant_palettize4/scratch_pool.hpp"

#include <d2c/plugin.hpp>

#include <memory>
#include <string>

namespace d2c::palettize4 {

class RowGroupJob final : public QuantizeJob {
 public:
  struct Shape {
    std::int64_t rows = 0;  ///< without padding
    std::int64_t columns = 0;
    std::int64_t group_rows = 0;
  };

  RowGroupJob(std::string weight, Shape shape, Solving solving, std::shared_ptr<ScratchPool> scratch)
      : weight_(std::move(weight)), shape_(shape), solving_(solving), scratch_(std::move(scratch)) {}

  void process(const Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) override;

 private:
  Palette solve(std::span<const std::uint16_t> values, std::int64_t first_row, Scratch& scratch) const;

  std::string weight_;
  Shape shape_;
  Solving solving_;
  std::shared_ptr<ScratchPool> scratch_;
};

}  // namespace d2c::palettize4
