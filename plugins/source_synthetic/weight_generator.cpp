#include "plugins/source_synthetic/weight_generator.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

namespace d2c::source_synthetic {
namespace {

constexpr float kUnit = 0x1p-20f;    // of the fixed-point normal values
constexpr double kLastKnot = 4.5;    // where the distribution is cut off; it would end at infinity
constexpr double kRowSpread = 0.35;  // standard deviation of the logarithm of the row factors
constexpr std::size_t kBlock = 128;  // values per step: separate short loops vectorize where one long one does not
constexpr float kOutlierFactor = 8;
constexpr std::uint32_t kGolden = 0x9e3779b9u;  // 2^32 / golden ratio: odd, and far from any short cycle

/// Steele and Vigna's finalizer of SplitMix64.
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

constexpr std::uint64_t fnv1a(std::string_view text) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

/// e^x for |x| <= 16, from basic operations alone: libm differs between systems.
double exponential(double x) noexcept {
  const double small = x / 32;
  double sum = 1;
  for (int n = 16; n >= 1; --n) sum = 1 + small * sum / n;
  for (int doubling = 0; doubling < 5; ++doubling) sum *= sum;
  return sum;
}

/// Probability that |z| < x, and its density there.
struct HalfNormal {
  double probability, density;
};

HalfNormal half_normal(double x) noexcept {
  constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
  const double density = kSqrtTwoOverPi * exponential(-x * x / 2);
  // x + x^3/3 + x^5/(3*5) + ...: all terms positive, so nothing cancels.
  double term = x;
  double sum = x;
  for (int odd = 3; odd < 140; odd += 2) {
    term = term * (x * x) / odd;
    sum += term;
  }
  return {density * sum, density};
}

double half_normal_quantile(double probability, double start) noexcept {
  double x = start;
  for (int step = 0; step < 8; ++step) {
    const HalfNormal at = half_normal(x);
    x -= (at.probability - probability) / at.density;
  }
  return x;
}

std::int32_t to_fixed(double x) noexcept { return static_cast<std::int32_t>(x / kUnit + 0.5); }

}  // namespace

struct WeightGenerator::Stream {
  std::uint32_t start, twist;

  /// Random number `counter` of the stream.
  [[nodiscard]] std::uint32_t at(std::uint32_t counter) const noexcept {
    std::uint32_t x = counter * kGolden + start;
    x = (x ^ (x >> 16)) * 0x21f0aaadu;
    x = ((x ^ twist) ^ (x >> 15)) * 0x735a2d97u;
    return x ^ (x >> 15);
  }
};

WeightGenerator::WeightGenerator(std::int64_t seed) : seed_(mix64(static_cast<std::uint64_t>(seed))) {
  double knot = 0;
  for (int k = 0; k < kIntervals; ++k) {
    const double next =
        k + 1 < kIntervals ? half_normal_quantile(static_cast<double>(k + 1) / kIntervals, knot) : kLastKnot;
    intervals_[static_cast<std::size_t>(k)] = {to_fixed(knot), to_fixed(next) - to_fixed(knot)};
    knot = next;
  }
}

WeightGenerator::Stream WeightGenerator::stream(std::string_view tensor, std::int64_t row) const noexcept {
  const std::uint64_t key = mix64(mix64(seed_ ^ fnv1a(tensor)) + static_cast<std::uint64_t>(row));
  return {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
}

/// Takes the upper 22 bits of `random`: the sign, the interval and the place in it.
std::int32_t WeightGenerator::normal(std::uint32_t random) const noexcept {
  const Interval interval = intervals_[(random >> 20) & (kIntervals - 1)];
  const auto fraction = static_cast<std::int32_t>((random >> 10) & 1023u);
  const std::int32_t magnitude = interval.start + ((interval.length * fraction) >> 10);
  return (random >> 31) != 0 ? -magnitude : magnitude;
}

float WeightGenerator::row_factor(const Stream& stream) const noexcept {
  const double z = static_cast<double>(normal(stream.at(~std::uint32_t{0}))) * static_cast<double>(kUnit);
  return static_cast<float>(exponential(kRowSpread * z));
}

void WeightGenerator::matrix_row(std::string_view tensor, std::int64_t row, std::span<std::uint16_t> out) const {
  const Stream random = stream(tensor, row);
  const float scale = row_factor(random) / std::sqrt(static_cast<float>(out.size())) * kUnit;
  const float scales[2] = {scale, scale * kOutlierFactor};
  for (std::size_t first = 0; first < out.size(); first += kBlock) {
    const std::size_t count = std::min(kBlock, out.size() - first);
    std::array<std::uint32_t, kBlock> bits;
    for (std::size_t i = 0; i < kBlock; ++i) bits[i] = random.at(static_cast<std::uint32_t>(first + i));
    std::array<float, kBlock> values;
    for (std::size_t i = 0; i < kBlock; ++i)
      values[i] = static_cast<float>(normal(bits[i])) * scales[(bits[i] & 1023u) == 0];
    for (std::size_t i = 0; i < count; ++i) out[first + i] = float_to_bf16(values[i]);
  }
}

void WeightGenerator::norm(std::string_view tensor, std::int64_t first, std::span<std::uint16_t> out) const {
  const Stream random = stream(tensor, 0);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int32_t z = normal(random.at(static_cast<std::uint32_t>(first) + static_cast<std::uint32_t>(i)));
    out[i] = float_to_bf16(static_cast<float>((1 << 20) + z / 8) * kUnit);
  }
}

void WeightGenerator::bias(std::string_view tensor, std::int64_t first, std::span<std::uint16_t> out) const {
  const Stream random = stream(tensor, 0);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int32_t z = normal(random.at(static_cast<std::uint32_t>(first) + static_cast<std::uint32_t>(i)));
    out[i] = float_to_bf16(static_cast<float>(z) * (kUnit / 16));
  }
}

}  // namespace d2c::source_synthetic
