// The best partition of a sorted, weighted list into a given number of runs, with a proof.
//
// The squared error of a run around its mean costs O(1) with prefix sums and is a concave Monge function of the run's
// ends, so the best partition into k runs is a k-link shortest path over the cuts (Wu 1991). Charging a multiplier for
// every link turns that into a plain shortest path, found in O(n log n) (Galil and Park 1992); its length minus k times
// the multiplier bounds the error of every k-partition from below. A path with exactly k links meets the bound, which
// proves it optimal (Aggarwal, Schieber and Tokuyama 1994); so does the splice of a path with fewer and one with more
// links that are both shortest for one multiplier.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace d2c::palettize4 {

/// A cut: prefix sums of the values before it, and room for the shortest path to it.
struct Node {
  double weight = 0;
  double sum = 0;
  double potential = 0;  ///< length of the path less the prefix sum of squares
  std::uint32_t parent = 0;
};

class KLinkPath {
 public:
  /// The path's cuts: indices of nodes, links + 1 of them, both ends included. `nodes` has more than links + 1 members
  /// of strictly increasing weight; 1 <= links. `multiplier` is where the search starts, and receives where it ended.
  std::span<const std::uint32_t> find(std::span<Node> nodes, std::size_t links, double& multiplier);

  /// Memory held after a list of `nodes` nodes.
  [[nodiscard]] static std::size_t bytes(std::size_t nodes) noexcept;

 private:
  struct Path {
    std::vector<std::uint32_t> cuts;
    double error = 0;  ///< less the sum of squares of all values, which all paths share

    [[nodiscard]] std::size_t links() const noexcept { return cuts.size() - 1; }
  };
  struct Candidate {
    std::uint32_t node = 0;
    std::uint32_t start = 0;  ///< the first node that is best reached from `node`
  };

  void find_shortest(std::span<Node> nodes, double multiplier);
  void enqueue(std::span<const Node> nodes, std::uint32_t node);
  void trace(std::span<const Node> nodes);
  void bracket(std::span<const Node> nodes);
  void splice(std::size_t links);

  std::vector<Candidate> queue_;
  std::size_t front_ = 0, back_ = 0;  ///< queue_[front_..back_] are the live candidates
  Path path_, fewer_, more_;
};

}  // namespace d2c::palettize4
