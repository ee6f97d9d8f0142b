// How ggml stores tensor elements: the supported formats and their dequantization.
#pragma once

#include <d2c/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace d2c::source_gguf {

/// A row is a sequence of blocks; a plain type is a block of one element that is delivered as it stands.
struct BlockFormat {
  std::uint32_t type;  ///< number in the file
  const char* name;
  int elements;  ///< per block
  int bytes;     ///< per block
  DType delivered;
  /// The ggml reference's fp32 value of every element of `count` blocks; null for plain types.
  void (*dequantize)(const std::byte* blocks, std::size_t count, float* out);
};

[[nodiscard]] std::span<const BlockFormat> block_formats() noexcept;

/// Null where the type is not supported.
[[nodiscard]] const BlockFormat* find_block_format(std::uint32_t type) noexcept;

/// ggml's name of any type, "type 99" for a number it has not given out.
[[nodiscard]] std::string ggml_type_name(std::uint32_t type);

}  // namespace d2c::source_gguf
