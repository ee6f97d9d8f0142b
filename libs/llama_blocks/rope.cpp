// Built without floating-point contraction: every operation rounds to fp32 on its own, as in the reference.
#include "libs/llama_blocks/rope.hpp"

#include <cmath>
#include <cstddef>

namespace d2c::llama {
namespace {

constexpr float kTwoPi = 6.283185307179586f;

/// fp32 results of double functions are correctly rounded but for astronomically rare cases, so tables do not depend
/// on the C library.
float rounded_pow(float base, float exponent) { return static_cast<float>(std::pow(double{base}, double{exponent})); }

/// Long wavelengths are divided by the factor, short ones kept, those between blended.
float scale_llama3(float frequency, const RopeConfig& rope) {
  const auto factor = static_cast<float>(rope.factor);
  const auto context = static_cast<double>(rope.original_context);
  // A quotient with a scalar numerator is the reciprocal times the scalar, in two roundings.
  const float wavelength = 1.0f / frequency * kTwoPi;
  if (wavelength < static_cast<float>(context / rope.high_freq_factor)) return frequency;
  if (wavelength > static_cast<float>(context / rope.low_freq_factor)) return frequency / factor;
  const float smooth = (1.0f / wavelength * static_cast<float>(context) - static_cast<float>(rope.low_freq_factor)) /
                       static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  return (1.0f - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeConfig& rope, std::int64_t head_dim) {
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    const float frequency = 1.0f / rounded_pow(static_cast<float>(rope.theta), exponent);
    switch (rope.kind) {
      case RopeKind::plain: frequencies.push_back(frequency); break;
      case RopeKind::linear: frequencies.push_back(frequency / static_cast<float>(rope.factor)); break;
      case RopeKind::llama3: frequencies.push_back(scale_llama3(frequency, rope)); break;
    }
  }
  return frequencies;
}

RopeTables rope_tables(const RopeConfig& rope, std::int64_t head_dim, std::int64_t positions) {
  const std::vector<float> frequencies = inverse_frequencies(rope, head_dim);
  const std::size_t half = frequencies.size();
  RopeTables tables;
  tables.cos.resize(static_cast<std::size_t>(positions) * 2 * half);
  tables.sin.resize(tables.cos.size());
  for (std::size_t p = 0; p < static_cast<std::size_t>(positions); ++p) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<float>(p) * frequencies[i];
      const auto cos = static_cast<float>(std::cos(angle)), sin = static_cast<float>(std::sin(angle));
      float* const cos_row = &tables.cos[p * 2 * half];
      float* const sin_row = &tables.sin[p * 2 * half];
      cos_row[i] = cos_row[i + half] = cos;
      sin_row[i] = -sin;
      sin_row[i + half] = sin;
    }
  }
  return tables;
}

}  // namespace d2c::llama
