// Palettes of bands of columns, or of the whole tensor: all rows are counted first, then encoded tile by tile.
#pragma once

#include "plugins/quant_palettize4/scratch_pool.hpp"

#include <d2c/plugin.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace d2c::palettize4 {

class ColumnGroupJob final : public QuantizeJob {
 public:
  struct Shape {
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    std::int64_t group_columns = 0;  ///< divides columns
  };

  ColumnGroupJob(std::string weight, Shape shape, Solving solving, std::shared_ptr<ScratchPool> scratch);

  void observe(const Tile& tile) override;
  void process(const Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) override;

  /// Memory of a job with that many groups.
  [[nodiscard]] static std::size_t bytes(std::size_t groups, std::size_t entries) noexcept;

 private:
  struct Group {
    Palette palette;
    Assigner assigner;
    std::array<float, kMaxEntries> entries{};
    std::size_t distinct = 0;
  };

  void solve_once(Scratch& scratch);
  void write_palettes(void* lut, d2c_tile_stats& stats) const;

  std::string weight_;
  Shape shape_;
  Solving solving_;
  std::shared_ptr<ScratchPool> scratch_;
  std::vector<Histogram> histograms_;  // emptied once solved
  std::vector<Group> groups_;
  std::int64_t observed_rows_ = 0;
  std::mutex mutex_;
  bool solved_ = false;
};

}  // namespace d2c::palettize4
