#include "libs/mil_cpu/feature_io.hpp"

#include "libs/numeric/convert.hpp"

#include <cstring>

namespace d2c::mil_cpu {
namespace {

template <class T>
void widen_integers(const std::byte* in, std::size_t count, void* out) {
  auto* to = static_cast<std::int32_t*>(out);
  for (std::size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, in + i * sizeof(T), sizeof(T));
    to[i] = static_cast<std::int32_t>(value);
  }
}

template <class T>
void narrow_integers(const void* in, std::size_t count, std::byte* out) {
  const auto* from = static_cast<const std::int32_t*>(in);
  for (std::size_t i = 0; i < count; ++i) {
    const T value = static_cast<T>(from[i]);
    std::memcpy(out + i * sizeof(T), &value, sizeof(T));
  }
}

void widen_booleans(const std::byte* in, std::size_t count, void* out) {
  auto* to = static_cast<std::int32_t*>(out);
  for (std::size_t i = 0; i < count; ++i) to[i] = in[i] != std::byte{0};
}

}  // namespace

bool is_feature_dtype(DType dtype) noexcept {
  switch (dtype) {
    case DType::f16:
    case DType::f32:
    case DType::i32:
    case DType::i16:
    case DType::u16:
    case DType::i8:
    case DType::u8:
    case DType::boolean: return true;
    default: return false;
  }
}

void widen_feature(DType dtype, const std::byte* in, std::size_t count, void* out) {
  switch (dtype) {
    case DType::f16:
    case DType::f32: return numeric::to_float(dtype, in, count, static_cast<float*>(out));
    case DType::i16: return widen_integers<std::int16_t>(in, count, out);
    case DType::u16: return widen_integers<std::uint16_t>(in, count, out);
    case DType::i8: return widen_integers<std::int8_t>(in, count, out);
    case DType::u8: return widen_integers<std::uint8_t>(in, count, out);
    case DType::boolean: return widen_booleans(in, count, out);
    default: return widen_integers<std::int32_t>(in, count, out);
  }
}

void narrow_feature(DType dtype, const void* in, std::size_t count, std::byte* out) {
  switch (dtype) {
    case DType::f16:
      (void)numeric::float_to_half(static_cast<const float*>(in), count, reinterpret_cast<std::uint16_t*>(out));
      return;
    case DType::i16:
    case DType::u16: return narrow_integers<std::uint16_t>(in, count, out);
    case DType::i8:
    case DType::u8: return narrow_integers<std::uint8_t>(in, count, out);
    case DType::boolean: return narrow_integers<bool>(in, count, out);
    default: std::memcpy(out, in, count * sizeof(std::int32_t));
  }
}

}  // namespace d2c::mil_cpu
