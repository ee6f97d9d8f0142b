// Writes .safetensors files.
#pragma once

#include <d2c/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace d2c::safetensors {

/// A file whose every byte has its place before any data exists, so that tensors can be written in any order.
class FileLayout {
 public:
  struct Entry {
    std::string name;
    TensorType type;
  };

  /// The tensors lie in the order given. Error(usage) for a type that safetensors does not have, or a name twice.
  explicit FileLayout(std::span<const Entry> entries, const std::map<std::string, std::string>& metadata = {});

  /// The first bytes of the file, up to the first tensor.
  [[nodiscard]] const std::string& header() const noexcept { return header_; }
  /// Of a tensor's first byte, from the start of the file.
  [[nodiscard]] std::uint64_t offset(std::size_t entry) const { return header_.size() + starts_.at(entry); }
  /// Of the whole file.
  [[nodiscard]] std::uint64_t size() const noexcept { return header_.size() + data_size_; }

 private:
  std::string header_;
  std::vector<std::uint64_t> starts_;
  std::uint64_t data_size_ = 0;
};

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
