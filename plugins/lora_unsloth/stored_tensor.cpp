#include "plugins/lora_unsloth/stored_tensor.hpp"

#include "libs/numeric/convert.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace d2c::lora {
namespace {

constexpr std::int64_t kChunk = 1 << 16;

}  // namespace

StoredTensor::StoredTensor(std::shared_ptr<const safetensors::File> file, const safetensors::Tensor& tensor)
    : file_(std::move(file)), tensor_(&tensor), dtype_(tensor.dtype) {
  if (dtype_ != DType::f16 && dtype_ != DType::bf16 && dtype_ != DType::f32) {
    fail_input(file_->path() + ": tensor '" + tensor.name + "' is stored as " + tensor.stored_dtype +
               "; adapter weights must be F16, BF16 or F32: save the adapter again in one of these");
  }
}

void StoredTensor::read(std::int64_t first, std::span<float> out) const {
  const auto width = static_cast<std::uint64_t>(bytes_of(dtype_, 1));
  const View view = file_->map(*tensor_, static_cast<std::uint64_t>(first) * width, out.size() * width);
  numeric::to_float(dtype_, view.bytes.data(), out.size(), out.data());
}

std::vector<float> StoredTensor::values() const {
  std::vector<float> out(static_cast<std::size_t>(count()));
  read(0, out);
  return out;
}

bool StoredTensor::finite() const {
  std::vector<float> chunk(static_cast<std::size_t>(std::min(kChunk, count())));
  for (std::int64_t first = 0; first < count(); first += kChunk) {
    const std::span<float> part(chunk.data(), static_cast<std::size_t>(std::min(kChunk, count() - first)));
    read(first, part);
    if (!std::all_of(part.begin(), part.end(), [](float v) { return std::isfinite(v); })) return false;
  }
  return true;
}

bool StoredTensor::equals(const StoredTensor& other) const {
  if (shape() != other.shape()) return false;
  std::vector<float> ours(static_cast<std::size_t>(std::min(kChunk, count()))), theirs(ours.size());
  for (std::int64_t first = 0; first < count(); first += kChunk) {
    const auto size = static_cast<std::size_t>(std::min(kChunk, count() - first));
    read(first, {ours.data(), size});
    other.read(first, {theirs.data(), size});
    if (!std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(size), theirs.begin())) return false;
  }
  return true;
}

}  // namespace d2c::lora
