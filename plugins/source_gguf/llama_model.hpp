// A Llama model in GGUF terms under its Hugging Face names: config.json and the weights.
#pragma once

#include "plugins/source_gguf/header.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <vector>

namespace d2c::source_gguf {

struct Weight {
  TensorInfo info;
  TensorRecord stored;
  /// Rows of one attention head where the file keeps them in the order of interleaved rotary pairs; 0: same order.
  std::int64_t interleaved_rows = 0;

  /// The stored row that holds row `row`. Hugging Face rotates row j of a head with row j + half, the file's row 2j
  /// with row 2j + 1.
  [[nodiscard]] std::int64_t stored_row(std::int64_t row) const noexcept {
    if (interleaved_rows == 0) return row;
    const std::int64_t in_head = row % interleaved_rows, half = interleaved_rows / 2;
    return row - in_head + 2 * (in_head % half) + in_head / half;
  }
};

struct LlamaModel {
  Value config;
  std::vector<Weight> weights;  ///< in file order
};

/// Error(input) where the file is no complete Llama model, holds a tensor of another name or shape, or asks for
/// something that Llama's computation does not have.
[[nodiscard]] LlamaModel read_llama_model(const ByteSource& source, const Header& header);

}  // namespace d2c::source_gguf
