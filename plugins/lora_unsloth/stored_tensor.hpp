// A tensor of an adapter's file, read as fp32 when it is needed.
#pragma once

#include "libs/safetensors/safetensors.hpp"

#include <d2c/tensor.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace d2c::lora {

/// Cheap to copy; keeps the file open. Const members are thread-safe.
class StoredTensor {
 public:
  /// Anything but fp16, bf16 and fp32 is Error(input).
  StoredTensor(std::shared_ptr<const safetensors::File> file, const safetensors::Tensor& tensor);

  [[nodiscard]] const std::string& name() const noexcept { return tensor_->name; }
  [[nodiscard]] const Shape& shape() const noexcept { return tensor_->shape; }
  [[nodiscard]] std::int64_t count() const { return count_of(tensor_->shape); }

  /// Elements [first, first + out.size()) in storage order.
  void read(std::int64_t first, std::span<float> out) const;
  [[nodiscard]] std::vector<float> values() const;
  [[nodiscard]] bool finite() const;
  /// The same shape and numbers?
  [[nodiscard]] bool equals(const StoredTensor& other) const;

 private:
  std::shared_ptr<const safetensors::File> file_;
  const safetensors::Tensor* tensor_;
  DType dtype_;
};

}  // namespace d2c::lora
