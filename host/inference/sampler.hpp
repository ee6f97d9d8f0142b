// Chooses the next token from logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

namespace d2c::host {

struct SamplingOptions {
  double temperature = 0;         ///< 0: the likeliest token, always
  std::int64_t top_k = 0;         ///< 0: all tokens
  double top_p = 1;               ///< the fewest likeliest tokens that hold this share of the probability
  double min_p = 0;               ///< tokens at least this likely, relative to the likeliest
  double repetition_penalty = 1;  ///< 1: none; above, what has been said gets less likely
  std::uint64_t seed = 0;
};

/// The token of the largest logit, the lowest id among equals. Error(input) where a logit is no number.
[[nodiscard]] std::int32_t argmax(std::span<const float> logits);

/// The same seed and logits give the same tokens on every machine: equal logits are ordered by id, probabilities are
/// whole multiples of 2^-40, and the generator is the standard's mt19937_64. The steps are applied in the order of
/// SamplingOptions, after the repetition penalty.
class Sampler {
 public:
  /// Error(usage) for a value out of its range.
  explicit Sampler(const SamplingOptions& options);

  /// `history`: the tokens that the repetition penalty counts as said. Error(input) where a logit is no number.
  [[nodiscard]] std::int32_t pick(std::span<const float> logits, std::span<const std::int32_t> history);

 private:
  struct Candidate {
    std::int32_t token;
    float logit;
    std::uint64_t weight;  ///< of its probability, unscaled
  };
  void penalize(std::span<const std::int32_t> history);
  void keep_top_k();
  void weigh();
  void keep_top_p();
  void keep_min_p();
  [[nodiscard]] std::int32_t draw();

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;  ///< likeliest first
};

}  // namespace d2c::host
