// The cheapest partition of a sorted, weighted list into runs, where every run also costs a fixed charge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace d2c::palettize4 {

/// The places where a list can be cut: what lies before each, with nothing before the first.
class Cuts {
 public:
  static constexpr std::size_t kReadBeyond = 8;  ///< values behind the last cut that vectors may read and then ignore

  std::vector<double> weight;  ///< strictly increasing
  std::vector<double> sum;     ///< of weight * value

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Keeps what is there already; never gives memory back.
  void resize(std::size_t cuts) {
    size_ = cuts;
    if (weight.size() >= cuts + kReadBeyond) return;
    weight.resize(cuts + kReadBeyond);
    sum.resize(cuts + kReadBeyond);
  }

  [[nodiscard]] static std::size_t bytes(std::size_t cuts) noexcept {
    return (cuts + kReadBeyond) * 2 * sizeof(double);
  }

 private:
  std::size_t size_ = 0;
};

/// Squared error of the run between two cuts, less the sum of its squares.
[[nodiscard]] inline double run_error(const Cuts& cuts, std::size_t from, std::size_t to) noexcept {
  const double sum = cuts.sum[to] - cuts.sum[from];
  return -(sum * sum / (cuts.weight[to] - cuts.weight[from]));
}

/// The same summed over the runs between the cuts of `path`.
[[nodiscard]] double path_error(const Cuts& cuts, std::span<const std::uint32_t> path) noexcept;

/// Finds shortest paths over cuts, from the first to the last. Keeps its memory; for one thread at a time.
class ShortestPath {
 public:
  /// Fills `path` with the cuts of the shortest path, both ends included. At least two cuts.
  void find(const Cuts& cuts, double charge, std::vector<std::uint32_t>& path);

  /// Memory held after `cuts` cuts.
  [[nodiscard]] static std::size_t bytes(std::size_t cuts) noexcept;

 private:
  std::vector<double> length_;        // of the shortest path to each cut, less the sum of squares before it
  std::vector<std::int64_t> parent_;  // the cut before it on that path
};

}  // namespace d2c::palettize4
