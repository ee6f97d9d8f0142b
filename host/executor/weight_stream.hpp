// The rows of one planned weight, merged and in the type its quantizer wants, tile by tile.
#pragma once

#include "host/executor/tiling.hpp"
#include "host/planner/weight_table.hpp"
#include "libs/numeric/convert.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace d2c::host {

/// Buffers of one worker; they grow to the largest tile and stay.
struct Scratch {
  std::vector<float> floats;
  std::vector<std::uint16_t> halves;
  std::vector<std::byte> planes[D2C_MAX_PLANES];
};

/// Seconds spent, by stage. Page faults of a mapped source count as reading where the rows are first touched.
struct StageTimes {
  double read = 0, hash = 0, merge = 0, quantize = 0, prove = 0, write = 0;

  [[nodiscard]] double total() const noexcept { return read + hash + merge + quantize + prove + write; }

  StageTimes& operator+=(const StageTimes& o) noexcept {
    read += o.read;
    hash += o.hash;
    merge += o.merge;
    quantize += o.quantize;
    prove += o.prove;
    write += o.write;
    return *this;
  }
};

/// Opening may read the whole weight once (adapters whose merge needs it). `tile` is thread-safe.
class WeightStream {
 public:
  WeightStream(const PlannedWeight& weight, const Tiling& tiling);

  struct Tile {
    const void* data;  ///< of layout.input_dtype, in the scratch's memory; merged rows stay in Scratch::floats as well
    numeric::RoundingStats rounding;
  };
  /// Error(input) where the tile holds NaN or infinities, or more values than allowed that fp16 cannot hold; those become
  /// its largest.
  [[nodiscard]] Tile tile(std::int64_t index, Scratch& scratch, StageTimes& times) const;

  /// After the last tile. Error(input) where all tiles together have more values than allowed that fp16 cannot hold.
  void check_overflow(std::uint64_t overflowed) const;

  /// Rows of the model itself, before any merge; zeros where a vocabulary grew. Full weights only.
  void base(std::int64_t first, std::int64_t rows, float* out) const;

  /// Memory that a worker needs for any tile of this weight, its output included.
  [[nodiscard]] static std::uint64_t working_bytes(const PlannedWeight& weight, const Tiling& tiling);
  /// Memory held while the weight is open.
  [[nodiscard]] static std::uint64_t open_bytes(const PlannedWeight& weight);

 private:
  void observe_whole_weight();
  /// Base rows as fp32, with the merge applied where there is one.
  void load_floats(std::int64_t first, std::int64_t rows, float* floats, StageTimes& times) const;
  [[nodiscard]] numeric::RoundingStats load_halves(std::int64_t first, std::int64_t rows, Scratch& scratch,
                                                   StageTimes& times) const;
  void check(const numeric::RoundingStats& rounding, std::int64_t first, std::int64_t rows) const;
  void refuse_overflow(std::uint64_t overflowed, const std::string& where) const;

  const PlannedWeight& weight_;
  const Tiling& tiling_;
  std::unique_ptr<MergeTask> merge_;
  std::vector<float> factor_;
};

}  // namespace d2c::host
