#include "host/inference/sampler.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

namespace d2c::host {
namespace {

constexpr int kWeightBits = 40;  // 2^18 tokens of the largest weight still sum to less than 2^63

void check_range(bool fits, const char* name, const char* range) {
  if (!fits) fail_usage(std::string(name) + " must be " + range);
}

void check_numbers(std::span<const float> logits) {
  if (std::any_of(logits.begin(), logits.end(), [](float l) { return std::isnan(l); }))
    fail_input("the package computed logits that are no numbers (NaN); convert with graph.precision = \"fp32\"");
}

}  // namespace

std::int32_t argmax(std::span<const float> logits) {
  check_numbers(logits);
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {
  check_range(std::isfinite(options.temperature) && options.temperature >= 0, "temperature", "0 or more");
  check_range(options.top_k >= 0, "top-k", "0 (all) or more");
  check_range(options.top_p > 0 && options.top_p <= 1, "top-p", "above 0 and at most 1");
  check_range(options.min_p >= 0 && options.min_p <= 1, "min-p", "between 0 and 1");
  check_range(std::isfinite(options.repetition_penalty) && options.repetition_penalty > 0, "repetition-penalty",
              "above 0");
}

std::int32_t Sampler::pick(std::span<const float> logits, std::span<const std::int32_t> history) {
  check_numbers(logits);
  logits_.assign(logits.begin(), logits.end());
  penalize(history);
  if (options_.temperature == 0) return argmax(logits_);
  keep_top_k();
  weigh();
  keep_top_p();
  keep_min_p();
  return draw();
}

void Sampler::penalize(std::span<const std::int32_t> history) {
  if (options_.repetition_penalty == 1) return;
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  for (const std::int32_t token : std::set<std::int32_t>(history.begin(), history.end())) {
    if (token < 0 || static_cast<std::size_t>(token) >= logits_.size()) continue;
    float& logit = logits_[static_cast<std::size_t>(token)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

void Sampler::keep_top_k() {
  candidates_.clear();
  for (std::size_t i = 0; i < logits_.size(); ++i) candidates_.push_back({static_cast<std::int32_t>(i), logits_[i], 0});
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  const std::size_t all = candidates_.size();
  const std::size_t kept = options_.top_k == 0 ? all : std::min(all, static_cast<std::size_t>(options_.top_k));
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(kept), candidates_.end(),
                    likelier);
  candidates_.resize(kept);
}

void Sampler::weigh() {
  const double largest = candidates_.front().logit;
  for (Candidate& c : candidates_) {
    const double p = c.logit == candidates_.front().logit ? 1 : std::exp((c.logit - largest) / options_.temperature);
    c.weight = static_cast<std::uint64_t>(std::llround(std::ldexp(p, kWeightBits)));
  }
}

void Sampler::keep_top_p() {
  if (options_.top_p == 1) return;
  std::uint64_t total = 0, sum = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  const double wanted = options_.top_p * static_cast<double>(total);
  std::size_t kept = 0;
  while (kept < candidates_.size() && static_cast<double>(sum) < wanted) sum += candidates_[kept++].weight;
  candidates_.resize(kept);
}

void Sampler::keep_min_p() {
  const double least = options_.min_p * static_cast<double>(candidates_.front().weight);
  const auto unlikely = std::find_if(candidates_.begin(), candidates_.end(),
                                     [&](const Candidate& c) { return static_cast<double>(c.weight) < least; });
  candidates_.erase(unlikely, candidates_.end());
}

std::int32_t Sampler::draw() {
  std::uint64_t total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  // Numbers beyond the last whole multiple of the total would favour the first tokens.
  const std::uint64_t end = std::mt19937_64::max() - std::mt19937_64::max() % total;
  std::uint64_t point = random_();
  while (point >= end) point = random_();
  point %= total;
  for (const Candidate& c : candidates_) {
    if (point < c.weight) return c.token;
    point -= c.weight;
  }
  return candidates_.front().token;
}

}  // namespace d2c::host
