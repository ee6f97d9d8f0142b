// How far the predictions of a model are from those of a reference, position by position.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace d2c::host {

/// Sums over positions; in nats.
class Divergence {
 public:
  /// One position: the logits of both, and the token that the text goes on with, where it does. Error(input) where the
  /// two are of different lengths or hold something that is no number.
  void add(std::span<const float> reference, std::span<const float> logits, std::optional<std::int32_t> next = {});

  [[nodiscard]] std::int64_t positions() const noexcept { return positions_; }
  /// Kullback-Leibler divergence of the model from the reference.
  [[nodiscard]] double mean_kl() const { return mean(sum_kl_, positions_); }
  [[nodiscard]] double max_kl() const noexcept { return max_kl_; }
  /// Share of positions at which both have the same likeliest token.
  [[nodiscard]] double agreement() const { return mean(static_cast<double>(agreeing_), positions_); }

  /// Positions whose next token is known.
  [[nodiscard]] std::int64_t predicted() const noexcept { return predicted_; }
  [[nodiscard]] double perplexity() const;
  [[nodiscard]] double reference_perplexity() const;

 private:
  static double mean(double sum, std::int64_t count) { return count == 0 ? 0 : sum / static_cast<double>(count); }

  std::int64_t positions_ = 0, agreeing_ = 0, predicted_ = 0;
  double sum_kl_ = 0, max_kl_ = 0;
  double surprise_ = 0, reference_surprise_ = 0;  ///< sums of -log p(next token)
};

}  // namespace d2c::host
