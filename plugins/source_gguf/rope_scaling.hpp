// Rotary position scaling as Hugging Face's config states it, from what a GGUF file carries.
#pragma once

#include "plugins/source_gguf/header.hpp"

#include <d2c/value.hpp>

#include <cstdint>
#include <optional>
#include <span>

namespace d2c::source_gguf {

/// The parameters of Llama 3's formula: frequencies of wavelength above original_context / low_freq_factor are divided
/// by `factor`, those below original_context / high_freq_factor kept, those between blended.
struct Llama3Scaling {
  double factor;
  double low_freq_factor;
  double high_freq_factor;
  double original_context;

  /// What the frequency `frequency` (radians per position) is divided by.
  [[nodiscard]] double divisor(double frequency) const;
};

/// The formula that gives the divisors `divisors` (of frequency theta^(-2i/head_dim) for i = 0, 1, ...), or nothing
/// where there is none. Only original_context / *_freq_factor can be recovered, so original_context is taken as given.
[[nodiscard]] std::optional<Llama3Scaling> fit_llama3(std::span<const float> divisors, double theta,
                                                      double original_context);

/// rope_scaling of config.json, null where positions are not scaled. `divisors` is the content of rope_freqs.weight,
/// empty where the file has none. Error(input) naming a scaling that cannot be expressed.
[[nodiscard]] Value rope_scaling(const Metadata& metadata, std::span<const float> divisors, double theta);

}  // namespace d2c::source_gguf
