// What became of the change that adapters make to a weight, once it was rounded and quantized.
#pragma once

#include <d2c/value.hpp>

#include <cstddef>

namespace d2c::host {

/// Sums over elements, with d = merged - base as computed, r = rounded - base as it was handed to the quantizer, and
/// s = stored - base as it can be read back.
struct MergeProof {
  double base = 0;       ///< sum of base^2
  double intended = 0;   ///< sum of d^2
  double rounded = 0;    ///< sum of d*r
  double surviving = 0;  ///< sum of s^2
  double overlap = 0;    ///< sum of d*s

  MergeProof& operator+=(const MergeProof& o) noexcept {
    base += o.base;
    intended += o.intended;
    rounded += o.rounded;
    surviving += o.surviving;
    overlap += o.overlap;
    return *this;
  }
  friend MergeProof operator+(MergeProof a, const MergeProof& b) noexcept { return a += b; }

  [[nodiscard]] bool finite() const;

  /// Part of the intended change that is there along its own direction: 1 for all of it, 0 for none.
  [[nodiscard]] double share() const;
  /// The same before the quantization.
  [[nodiscard]] double share_rounded() const;
  /// Between intended and surviving change; 1 where nothing was to change.
  [[nodiscard]] double cosine() const;

  /// {"delta_norm", "relative_norm", "share", "cosine"}
  [[nodiscard]] Value report() const;

  [[nodiscard]] Value to_value() const;
  [[nodiscard]] static MergeProof from_value(const Value& value);
};

/// Over `count` elements, in a fixed order. `rounded` and `stored` are the same where nothing is quantized.
[[nodiscard]] MergeProof prove_merge(const float* base, const float* merged, const float* rounded, const float* stored,
                                     std::size_t count);

/// A stack of which less than this share survives is worth a warning.
inline constexpr double kLeastShare = 0.5;

}  // namespace d2c::host
