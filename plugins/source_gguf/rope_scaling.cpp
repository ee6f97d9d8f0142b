#include "plugins/source_gguf/rope_scaling.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace d2c::source_gguf {
namespace {

// Llama 3's own values; GGUF files do not carry them.
constexpr double kLowFreqFactor = 1;
constexpr double kHighFreqFactor = 4;
constexpr double kOriginalContext = 8192;

/// Converters compute the divisors in fp32, and blending amplifies its rounding.
constexpr double kTolerance = 1e-4;

/// Positions per radian turned into turns per position: what the formula is linear in.
double turns(double frequency) { return frequency / (2 * std::numbers::pi); }

std::vector<double> frequencies(std::size_t count, double theta) {
  std::vector<double> result(count);
  for (std::size_t i = 0; i < count; ++i)
    result[i] = std::pow(theta, -static_cast<double>(i) / static_cast<double>(count));
  return result;
}

bool reproduces(const Llama3Scaling& scaling, std::span<const float> divisors, std::span<const double> freqs) {
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    const double expected = scaling.divisor(freqs[i]);
    if (!(std::abs(expected - divisors[i]) <= kTolerance * expected)) return false;
  }
  return true;
}

/// The share of the unscaled frequency in a blended one.
double share(double divisor, double factor) { return (1 / divisor - 1 / factor) / (1 - 1 / factor); }

/// Two blended frequencies fix the line share = (context * turns - low) / (high - low).
std::optional<Llama3Scaling> solve(std::span<const float> divisors, std::span<const double> freqs, double factor,
                                   double context) {
  const auto blended = [&](float d) { return d > 1 + kTolerance && d < factor * (1 - kTolerance); };
  const auto first = std::find_if(divisors.begin(), divisors.end(), blended);
  const auto last = std::find_if(divisors.rbegin(), divisors.rend(), blended);
  if (first == divisors.end() || &*first == &*last) return std::nullopt;
  const double x1 = turns(freqs[static_cast<std::size_t>(&*first - divisors.data())]);
  const double x2 = turns(freqs[static_cast<std::size_t>(&*last - divisors.data())]);
  const double s1 = share(*first, factor), s2 = share(*last, factor);
  const double slope = (s1 - s2) / (x1 - x2);
  const double at_zero = s1 - slope * x1;
  if (!(slope > 0) || !(at_zero < 0)) return std::nullopt;
  const double width = context / slope;  // high - low
  const double low = -at_zero * width;
  return Llama3Scaling{factor, low, low + width, context};
}

/// The values somebody wrote down, where they do as well as the fitted ones.
Llama3Scaling rounded(const Llama3Scaling& s) {
  const auto round = [](double v) { return std::round(v * 1000) / 1000; };
  return {s.factor, round(s.low_freq_factor), round(s.high_freq_factor), s.original_context};
}

Value linear(const Metadata& metadata, double factor, std::string_view key) {
  if (!(factor >= 1) || !std::isfinite(factor))
    metadata.fail_at(key, "is " + std::to_string(factor) + "; a scaling factor is at least 1");
  if (factor == 1) return {};
  Value v = Value::table();
  v.set("rope_type", "linear");
  v.set("factor", factor);
  return v;
}

Value from_metadata(const Metadata& metadata) {
  constexpr auto kType = "llama.rope.scaling.type", kFactor = "llama.rope.scaling.factor",
                 kOldFactor = "llama.rope.scale_linear";
  const std::string type = metadata.text(kType).value_or(metadata.has(kOldFactor) ? "linear" : "none");
  if (type == "none") return {};
  if (type != "linear")
    metadata.fail_at(kType, "names the scaling " + in_quotes(type) + "; none, linear and llama3 are supported");
  for (const char* key : {kFactor, kOldFactor})
    if (const auto factor = metadata.real(key)) return linear(metadata, *factor, key);
  metadata.fail_at(kFactor, "is missing");
}

Value to_value(const Llama3Scaling& s) {
  Value v = Value::table();
  v.set("rope_type", "llama3");
  v.set("factor", s.factor);
  v.set("low_freq_factor", s.low_freq_factor);
  v.set("high_freq_factor", s.high_freq_factor);
  v.set("original_max_position_embeddings", static_cast<std::int64_t>(s.original_context));
  return v;
}

}  // namespace

double Llama3Scaling::divisor(double frequency) const {
  const double wavelength = 1 / turns(frequency);
  if (wavelength < original_context / high_freq_factor) return 1;
  if (wavelength > original_context / low_freq_factor) return factor;
  const double smooth = (original_context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
  return 1 / ((1 - smooth) / factor + smooth);
}

std::optional<Llama3Scaling> fit_llama3(std::span<const float> divisors, double theta, double original_context) {
  if (divisors.empty()) return std::nullopt;
  const double factor = *std::max_element(divisors.begin(), divisors.end());
  if (!(factor > 1) || !std::isfinite(factor)) return std::nullopt;
  const std::vector<double> freqs = frequencies(divisors.size(), theta);
  std::vector<Llama3Scaling> candidates{{factor, kLowFreqFactor, kHighFreqFactor, original_context}};
  if (const auto solved = solve(divisors, freqs, factor, original_context)) {
    candidates.push_back(rounded(*solved));
    candidates.push_back(*solved);
  }
  for (const Llama3Scaling& candidate : candidates)
    if (reproduces(candidate, divisors, freqs)) return candidate;
  return std::nullopt;
}

Value rope_scaling(const Metadata& metadata, std::span<const float> divisors, double theta) {
  Value stated = from_metadata(metadata);
  if (std::all_of(divisors.begin(), divisors.end(), [](float d) { return d == 1; })) return stated;
  if (!stated.is_null())
    metadata.fail_at("llama.rope.scaling.type", "asks for linear scaling while rope_freqs.weight holds another one");
  constexpr auto kContext = "llama.rope.scaling.original_context_length";
  const double context =
      static_cast<double>(metadata.integer(kContext).value_or(static_cast<std::int64_t>(kOriginalContext)));
  if (!(context > 0)) metadata.fail_at(kContext, "is not positive");
  if (const auto scaling = fit_llama3(divisors, theta, context)) return to_value(*scaling);
  metadata.fail_at(
      "llama.rope.freq_base",
      "and tensor rope_freqs.weight do not follow Llama 3's scaling formula; other scalings cannot be converted");
}

}  // namespace d2c::source_gguf
