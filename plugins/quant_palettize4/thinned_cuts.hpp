// Fewer cuts to choose from, at a loss that is bounded beforehand.
#pragma once

#include "plugins/quant_palettize4/shortest_path.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace d2c::palettize4 {

/// Leaves out cuts between neighbouring values in the bulk of a group, which makes bins of values that stay together.
///
/// What that can cost: give every bin of the best partition to the entry nearest to the bin's mean. Only a bin that a
/// border between two entries runs through loses by it, and at most the entries' distance times the sum of the bin's
/// deviations from its mean, which is at most its spread, sqrt(weight * squared deviations). The distances between the
/// entries around all borders inside the bulk add up to at most twice the bulk's width, unless there is but one such
/// border and both its entries lie outside; then the middle half of the bulk is a quarter of its width or more away from
/// every entry, which costs more than any good partition does and is ruled out by that.
class ThinnedCuts {
 public:
  /// `loss` is what the bound may amount to. `values` are those between the cuts.
  void choose(const Cuts& all, std::span<const float> values, std::span<const std::uint32_t> counts, double loss);

  [[nodiscard]] const Cuts& cuts() const noexcept { return cuts_; }
  /// The cut among all of them.
  [[nodiscard]] std::uint32_t original(std::uint32_t cut) const noexcept { return original_[cut]; }
  /// By how much the best partition at these cuts can lie above the best of all, given its error.
  [[nodiscard]] double bound(double error) const noexcept;

  /// Memory held after `cuts` cuts.
  [[nodiscard]] static std::size_t bytes(std::size_t cuts) noexcept {
    return Cuts::bytes(cuts) + cuts * sizeof(std::uint32_t);
  }

 private:
  Cuts cuts_;
  std::vector<std::uint32_t> original_;
  double loss_ = 0;
  double least_error_of_one_border_ = 0;
};

}  // namespace d2c::palettize4
