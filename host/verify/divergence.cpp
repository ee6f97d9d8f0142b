#include "host/verify/divergence.hpp"

#include "host/inference/sampler.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace d2c::host {
namespace {

/// log(sum(exp(x))), and the sum of exp(x - largest) * (x - y) over that of exp(x - largest).
struct Moments {
  double log_sum = 0, mean_difference = 0;
};

Moments moments(std::span<const float> x, std::span<const float> y) {
  const float largest = *std::max_element(x.begin(), x.end());
  double sum = 0, weighted = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double e = std::exp(static_cast<double>(x[i] - largest));
    sum += e;
    weighted += e * (static_cast<double>(x[i]) - static_cast<double>(y[i]));
  }
  return {static_cast<double>(largest) + std::log(sum), weighted / sum};
}

}  // namespace

void Divergence::add(std::span<const float> reference, std::span<const float> logits,
                     std::optional<std::int32_t> next) {
  if (reference.size() != logits.size())
    fail_input("the reference has a vocabulary of " + std::to_string(reference.size()) +
               " tokens, the package one of " + std::to_string(logits.size()) + "; is it a reference of this model?");
  const bool agrees = argmax(reference) == argmax(logits);  // both refuse what is no number
  const Moments theirs = moments(reference, logits), ours = moments(logits, logits);
  const double kl = std::max(0.0, theirs.mean_difference - theirs.log_sum + ours.log_sum);
  ++positions_;
  agreeing_ += agrees ? 1 : 0;
  sum_kl_ += kl;
  max_kl_ = std::max(max_kl_, kl);
  if (!next) return;
  const auto token = static_cast<std::size_t>(*next);
  ++predicted_;
  surprise_ += ours.log_sum - static_cast<double>(logits[token]);
  reference_surprise_ += theirs.log_sum - static_cast<double>(reference[token]);
}

double Divergence::perplexity() const { return std::exp(mean(surprise_, predicted_)); }
double Divergence::reference_perplexity() const { return std::exp(mean(reference_surprise_, predicted_)); }

}  // namespace d2c::host
