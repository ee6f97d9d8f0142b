// Made-up weights with the statistics of trained ones, each a pure function of (seed, tensor, row, column).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace d2c::source_synthetic {

/// Generates bf16 rows. Values of a matrix are Gaussian with standard deviation 1/sqrt(columns) times a log-normal
/// factor of the row; one in 1024 is eight times as large. Integer arithmetic and single, uncontracted floating-point
/// operations only, so every machine makes the same bytes. Thread-safe; 16 KB of table.
class WeightGenerator {
 public:
  explicit WeightGenerator(std::int64_t seed);

  /// One row of a matrix, from its first column.
  void matrix_row(std::string_view tensor, std::int64_t row, std::span<std::uint16_t> out) const;
  /// Elements [first, first + out.size()) of a norm's weights: 1 plus a Gaussian of 1/8.
  void norm(std::string_view tensor, std::int64_t first, std::span<std::uint16_t> out) const;
  /// Elements [first, first + out.size()) of a bias: a Gaussian of 1/16.
  void bias(std::string_view tensor, std::int64_t first, std::span<std::uint16_t> out) const;

 private:
  struct Stream;  // the random numbers of one row

  // Piecewise linear inverse of the distribution of |z|, z standard normal: knot k is where it reaches k / kIntervals,
  // in units of 2^-20.
  static constexpr int kIntervals = 2048;
  struct Interval {
    std::int32_t start, length;
  };

  [[nodiscard]] Stream stream(std::string_view tensor, std::int64_t row) const noexcept;
  [[nodiscard]] std::int32_t normal(std::uint32_t random) const noexcept;
  [[nodiscard]] float row_factor(const Stream& stream) const noexcept;

  std::uint64_t seed_;
  std::array<Interval, kIntervals> intervals_;
};

}  // namespace d2c::source_synthetic
