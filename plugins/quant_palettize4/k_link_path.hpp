// The best partition of a sorted, weighted list into a given number of runs, with a proof.
//
// The squared error of a run around its mean costs O(1) with prefix sums and is a concave Monge function of the run's
// ends, so the best partition into k runs is a k-link shortest path over the cuts (Wu 1991). Charging a multiplier for
// every link turns that into a plain shortest path; its length minus k times the multiplier bounds the error of every
// k-partition from below. A path with exactly k links meets the bound, which proves it optimal (Aggarwal, Schieber and
// Tokuyama 1994); so does the splice of a path with fewer and one with more links that are both shortest for one
// multiplier.
#pragma once

#include "plugins/quant_palettize4/shortest_path.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace d2c::palettize4 {

class KLinkPath {
 public:
  /// The path: links + 1 cuts, both ends included. There are more than links + 1 cuts; 1 <= links. `multiplier` is
  /// where the search starts, and receives where it ended.
  std::span<const std::uint32_t> find(const Cuts& cuts, std::size_t links, double& multiplier);

  /// Memory held after a list of `cuts` cuts.
  [[nodiscard]] static std::size_t bytes(std::size_t cuts) noexcept;

 private:
  struct Path {
    std::vector<std::uint32_t> cuts;
    double error = 0;  ///< less the sum of squares of all values, which all paths share

    [[nodiscard]] std::size_t links() const noexcept { return cuts.size() - 1; }
  };

  void find_shortest(const Cuts& cuts, double multiplier);
  void bracket(const Cuts& cuts);
  void splice(std::size_t links);

  ShortestPath shortest_;
  Path path_, fewer_, more_;
};

}  // namespace d2c::palettize4
