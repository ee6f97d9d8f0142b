// Writes .safetensors files.
#pragma once

#include <d2c/tensor.hpp>

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace d2c::safetensors {

struct NamedTensor {
  std::string name;
  TensorType type;
  std::span<const std::byte> data;  ///< exactly type.bytes()
};

/// Writes the tensors in the order given, at once: a reader sees the old file or the whole new one. Error(usage) where
/// the folder does not exist, Error(resource) where it cannot be written; nothing is left behind then.
void write_file(const std::string& path, std::span<const NamedTensor> tensors,
                const std::map<std::string, std::string>& metadata = {});

}  // namespace d2c::safetensors
