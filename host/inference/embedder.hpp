// Sentence embeddings through a package's `encode` functions.
#pragma once

#include "host/inference/model.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

struct EncoderInput {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> pooling_mask = {};    ///< one per id, non-zero where it counts; empty: every token counts
  std::vector<std::int32_t> attention_mask = {};  ///< one per id, zero where it is padding; empty: there is none
};

/// Const members are thread-safe. The model outlives it.
///
/// A package may have `encode` for the longest texts and others, `encode_64`, for shorter ones; each text goes through the
/// shortest it fits into. Where there is one that takes several texts of that length, `encode_64_x8`, it takes them as long
/// as they fill more than half of it.
class Embedder {
 public:
  /// Error(input) where the package has no `encode`, or one that is not as this program writes it.
  explicit Embedder(const Model& model);

  /// Numbers in one embedding.
  [[nodiscard]] std::int64_t width() const noexcept { return width_; }
  /// Tokens that an input has at most, padding included.
  [[nodiscard]] std::int64_t max_length() const noexcept { return buckets_.back().length; }
  /// Tokens that the function for an input of so many takes; Error(input) where none does.
  [[nodiscard]] std::int64_t length_for(std::size_t tokens) const { return bucket_for(tokens).length; }

  /// [inputs, width], row by row in the order given. Error(input) naming the input for one that is empty or longer than
  /// max_length(), has a token that is negative or outside the vocabulary that the package states, whose masks are of
  /// another length, or which pools nothing or padding. Error(interrupted) once a stop is requested.
  [[nodiscard]] std::vector<float> embed(std::span<const EncoderInput> inputs) const;

 private:
  struct Function {
    std::string name;
    std::int64_t length = 0, batch = 0, width = 0;
    DType dtype = DType::f32;
  };
  /// The functions for texts up to a length, by falling batch.
  struct Bucket {
    std::int64_t length = 0;
    std::vector<Function> functions;
  };
  [[nodiscard]] static Function encoding_function(const Model& model, const Signature& signature);
  void add(Function function);
  [[nodiscard]] const Bucket& bucket_for(std::size_t tokens) const;
  [[nodiscard]] std::int64_t vocabulary() const;
  void check(const EncoderInput& input) const;
  void check_masks(const EncoderInput& input) const;
  /// Embeds inputs[which[..]] into rows of the same numbers.
  void encode(const Function& function, std::span<const EncoderInput> inputs, std::span<const std::size_t> which,
              std::vector<float>& rows) const;

  const Model& model_;
  std::vector<Bucket> buckets_;  ///< by rising length
  std::int64_t width_ = 0;
};

}  // namespace d2c::host
