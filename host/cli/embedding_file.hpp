// Matrices of embeddings as files other programs read.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace d2c::host::cli {

/// Error(usage) for a name that ends in neither .safetensors nor .npy, or a folder that does not exist. Nothing is wrong with
/// an empty path.
void check_embedding_file(const std::string& path);

/// [count, width] fp32, as tensor "embeddings" of a .safetensors file or as a .npy file.
void write_embeddings(const std::string& path, std::span<const float> values, std::int64_t count, std::int64_t width);

}  // namespace d2c::host::cli
