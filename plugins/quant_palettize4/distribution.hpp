// How often each fp16 value occurs in a group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace d2c::palettize4 {

/// All finite fp16 values, the two zeros taken as one.
inline constexpr std::size_t kDistinctFinite = 2 * 0x7c00 - 1;

/// The distinct values of a group in ascending order. -0.0 is counted as 0.0.
struct Distribution {
  std::vector<std::uint16_t> bits;
  std::vector<std::uint32_t> counts;

  [[nodiscard]] std::size_t size() const noexcept { return bits.size(); }

  /// Memory held for up to `distinct` values; vectors that grow from group to group may hold twice what they need.
  [[nodiscard]] static std::size_t bytes(std::size_t distinct) noexcept {
    return 2 * distinct * (sizeof(std::uint16_t) + sizeof(std::uint32_t));
  }
};

/// Counts fp16 values by their bits.
class Histogram {
 public:
  static constexpr std::size_t kBins = 65536;
  static constexpr std::size_t kBytes = kBins * sizeof(std::uint32_t);

  Histogram() : bins_(kBins) {}

  /// At most 2^32 - 1 values in all.
  void add(std::span<const std::uint16_t> values);

  [[nodiscard]] bool has_nonfinite() const noexcept;

  /// Moves the counts to `out`; afterwards the histogram is empty. Only finite values may have been added.
  void drain(Distribution& out);

  /// Forgets everything, infinities and NaN too.
  void clear();

 private:
  std::vector<std::uint32_t> bins_;
  std::uint16_t max_magnitude_ = 0;
};

}  // namespace d2c::palettize4
