// How well a set of embeddings keeps what a reference's set says.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace d2c::host {

/// Row-major rows of equal width.
struct Rows {
  std::span<const float> values;
  std::size_t width = 0;

  [[nodiscard]] std::size_t count() const { return values.size() / width; }
  [[nodiscard]] std::span<const float> operator[](std::size_t row) const { return values.subspan(row * width, width); }
};

/// 0 where one of them is all zeros; no number where one of them holds none.
[[nodiscard]] double cosine(std::span<const float> a, std::span<const float> b);

/// Spearman's coefficient, ties sharing their mean rank; 0 where one side has fewer than two different values.
[[nodiscard]] double rank_correlation(std::span<const double> a, std::span<const double> b);

struct EmbeddingAgreement {
  std::vector<double> cosines;  ///< of each row with the reference's
  /// The same once each set's own mean is taken off: pooled vectors are all alike, and what tells them apart is small.
  /// Empty for a single row.
  std::vector<double> centred_cosines;
  /// Between the two sets' similarities of all pairs; nothing for fewer than three rows.
  std::optional<double> rank_correlation;
};

/// Error(input) where the sets differ in shape.
[[nodiscard]] EmbeddingAgreement compare(const Rows& reference, const Rows& embeddings);

}  // namespace d2c::host
