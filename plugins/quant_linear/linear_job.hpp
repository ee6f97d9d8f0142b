// One weight, row by row; every row stands alone.
#pragma once

#include "plugins/quant_linear/block_fit.hpp"

#include <d2c/plugin.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace d2c::linear {

class LinearJob final : public QuantizeJob {
 public:
  struct Shape {
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    std::int64_t block = 0;  ///< columns that share a scale

    [[nodiscard]] std::int64_t blocks() const noexcept { return columns / block; }
  };

  LinearJob(std::string weight, Shape shape, Grid grid, bool search)
      : weight_(std::move(weight)), shape_(shape), grid_(grid), search_(search) {}

  void process(const Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) override;

  /// Memory that a call of `process` takes.
  [[nodiscard]] static std::size_t scratch_bytes(const Shape& shape) noexcept;

 private:
  struct Row;

  void quantize(std::span<const std::uint16_t> halves, std::int64_t index, Row& row) const;
  void add_errors(Row& row, d2c_tile_stats& stats) const;

  std::string weight_;
  Shape shape_;
  Grid grid_;
  bool search_;
};

}  // namespace d2c::linear
