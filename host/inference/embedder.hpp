// Sentence embeddings through a package's `encode`.
#pragma once

#include "host/inference/model.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace d2c::host {

struct EncoderInput {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> pooling_mask;  ///< one per id, non-zero where it counts; empty: every token counts
};

/// Const members are thread-safe. The model outlives it.
class Embedder {
 public:
  /// Error(input) where the package has no `encode`, or not as this program writes it.
  explicit Embedder(const Model& model);

  /// Numbers in one embedding.
  [[nodiscard]] std::int64_t width() const noexcept { return width_; }
  /// Tokens that `encode` takes at most.
  [[nodiscard]] std::int64_t max_length() const noexcept { return length_; }

  /// [inputs, width], row by row in the order given. Error(input) naming the input for one that is empty or longer than
  /// max_length(), has a token that is negative or outside the vocabulary that the package states, or whose
  /// pooling mask is of another length or all zeros. Error(interrupted) once a stop is requested.
  [[nodiscard]] std::vector<float> embed(std::span<const EncoderInput> inputs) const;

 private:
  void check(const EncoderInput& input, std::size_t index) const;
  void encode(const EncoderInput& input, std::span<std::byte> embedding) const;

  const Model& model_;
  std::int64_t length_ = 0, width_ = 0;
  DType dtype_ = DType::f32;
};

}  // namespace d2c::host
