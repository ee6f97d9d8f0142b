// The palette of one group: 1-D k-means solved exactly, entries rounded to fp16.
#pragma once

#include "plugins/quant_palettize4/distribution.hpp"
#include "plugins/quant_palettize4/k_link_path.hpp"
#include "plugins/quant_palettize4/thinned_cuts.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace d2c::palettize4 {

inline constexpr std::size_t kMaxEntries = 256;

struct Palette {
  std::array<std::uint16_t, kMaxEntries> entries{};  ///< fp16 bits, ascending; the last one repeats up to `size`
  std::size_t size = 0;
  bool certified = false;    ///< no partition into `size` runs has a smaller error around its means
  double excess = 0;         ///< else: such an error is at most this much smaller
  double squared_error = 0;  ///< each value against its nearest entry
  double squared_sum = 0;
  double max_error = 0;

  [[nodiscard]] std::span<const std::uint16_t> view() const noexcept { return {entries.data(), size}; }
};

/// The algorithm and its memory, kept from group to group. For one thread at a time.
class Solver {
 public:
  /// `group` holds at least one value, all finite; 2 <= size <= kMaxEntries. A value belongs to the nearest entry, the
  /// lower one of two equally near. `allowance`: the share of the least error around means that may come on top of it,
  /// where that saves time. The result depends on the arguments alone.
  [[nodiscard]] Palette solve(const Distribution& group, std::size_t size, double allowance = 0);

  /// Memory held after a group of `distinct` values.
  [[nodiscard]] static std::size_t bytes(std::size_t distinct) noexcept;

 private:
  using Entries = std::array<double, kMaxEntries>;

  void load(const Distribution& group);
  double coarse_multiplier(const Distribution& group, std::size_t links);
  bool solve_thinned(const Distribution& group, double allowance, double multiplier, Palette& palette);
  void round_means(std::span<const std::uint32_t> path, Palette& palette) const;
  void measure(const Distribution& group, Palette& palette);
  void improve_rounding(const Distribution& group, Palette& palette);

  std::vector<float> values_;
  std::vector<float> measure_;
  Cuts cuts_, coarse_cuts_;
  double squares_ = 0;       // of the values around origin_
  double coarse_error_ = 0;  // of the best partition at coarse cuts; 0 where there are none
  ThinnedCuts thinned_;
  std::vector<std::uint32_t> cells_;
  KLinkPath path_;
  double origin_ = 0;
};

}  // namespace d2c::palettize4
