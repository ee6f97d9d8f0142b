// Element types, shapes and their sizes.
#pragma once

#include <d2c/abi.h>
#include <d2c/error.hpp>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c {

enum class DType : d2c_dtype {
  none = D2C_DTYPE_NONE,
  boolean = D2C_BOOL,
  string = D2C_STRING,
  f16 = D2C_F16,
  f32 = D2C_F32,
  f64 = D2C_F64,
  bf16 = D2C_BF16,
  i8 = D2C_I8,
  i16 = D2C_I16,
  i32 = D2C_I32,
  i64 = D2C_I64,
  i4 = D2C_I4,
  u8 = D2C_U8,
  u16 = D2C_U16,
  u32 = D2C_U32,
  u64 = D2C_U64,
  u4 = D2C_U4,
  u2 = D2C_U2,
  u1 = D2C_U1,
  u6 = D2C_U6,
  u3 = D2C_U3,
};

/// Bits of one element; 0 for `none` and `string`.
constexpr int bits_of(DType t) noexcept {
  switch (t) {
    case DType::u1: return 1;
    case DType::u2: return 2;
    case DType::u3: return 3;
    case DType::u4:
    case DType::i4: return 4;
    case DType::u6: return 6;
    case DType::boolean:
    case DType::i8:
    case DType::u8: return 8;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
    case DType::u16: return 16;
    case DType::f32:
    case DType::i32:
    case DType::u32: return 32;
    case DType::f64:
    case DType::i64:
    case DType::u64: return 64;
    default: return 0;
  }
}

constexpr std::string_view name_of(DType t) noexcept {
  switch (t) {
    case DType::boolean: return "bool";
    case DType::string: return "string";
    case DType::f16: return "fp16";
    case DType::f32: return "fp32";
    case DType::f64: return "fp64";
    case DType::bf16: return "bf16";
    case DType::i8: return "int8";
    case DType::i16: return "int16";
    case DType::i32: return "int32";
    case DType::i64: return "int64";
    case DType::i4: return "int4";
    case DType::u8: return "uint8";
    case DType::u16: return "uint16";
    case DType::u32: return "uint32";
    case DType::u64: return "uint64";
    case DType::u4: return "uint4";
    case DType::u2: return "uint2";
    case DType::u1: return "uint1";
    case DType::u6: return "uint6";
    case DType::u3: return "uint3";
    default: return "none";
  }
}

/// The unsigned type that holds palette indices of that many bits, `none` where there is none.
constexpr DType index_dtype(int bits) noexcept {
  switch (bits) {
    case 1: return DType::u1;
    case 2: return DType::u2;
    case 3: return DType::u3;
    case 4: return DType::u4;
    case 6: return DType::u6;
    case 8: return DType::u8;
    default: return DType::none;
  }
}

using Shape = std::vector<std::int64_t>;

inline std::string to_string(std::span<const std::int64_t> shape) {
  std::string s = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) s.append(i ? "," : "").append(std::to_string(shape[i]));
  return s.append("]");
}

/// Product of the dimensions, or nothing where one is negative or the product leaves 63 bits.
inline std::optional<std::int64_t> checked_count(std::span<const std::int64_t> shape) noexcept {
  std::int64_t n = 1;
  bool zero = false;
  for (const std::int64_t d : shape) {
    if (d < 0) return std::nullopt;
    if (d == 0) zero = true;
    else if (n > std::numeric_limits<std::int64_t>::max() / d) return std::nullopt;
    else n *= d;
  }
  return zero ? 0 : n;
}

/// Number of elements; throws Error(input) where the shape is impossible.
inline std::int64_t count_of(std::span<const std::int64_t> shape) {
  if (const auto n = checked_count(shape)) return *n;
  fail_input("impossible shape " + to_string(shape));
}

/// Bytes of `count` packed elements, sub-byte types rounded up to a whole byte.
constexpr std::int64_t bytes_of(DType t, std::int64_t count) noexcept {
  const std::int64_t bits = bits_of(t);
  return bits >= 8 ? count * (bits / 8) : (count / 8) * bits + ((count % 8) * bits + 7) / 8;
}

struct TensorType {
  DType dtype = DType::none;
  Shape shape;

  [[nodiscard]] std::int64_t count() const { return count_of(shape); }
  [[nodiscard]] std::int64_t bytes() const { return bytes_of(dtype, count()); }
  [[nodiscard]] std::string text() const { return std::string(name_of(dtype)) + to_string(shape); }

  [[nodiscard]] d2c_type c() const {
    if (shape.size() > D2C_MAX_RANK)
      fail_input("rank " + std::to_string(shape.size()) + " exceeds " + std::to_string(D2C_MAX_RANK));
    d2c_type t{static_cast<d2c_dtype>(dtype), static_cast<std::int32_t>(shape.size()), {}};
    std::copy(shape.begin(), shape.end(), t.dims);
    return t;
  }
  static TensorType from_c(const d2c_type& t) {
    if (t.rank < 0 || t.rank > D2C_MAX_RANK)
      fail(Code::plugin, "rank " + std::to_string(t.rank) + " across the plugin boundary");
    return {static_cast<DType>(t.dtype), Shape(t.dims, t.dims + t.rank)};
  }

  friend bool operator==(const TensorType&, const TensorType&) = default;
};

/// Rows of a weight (axis 0; 1 for a scalar) and the elements of one row.
inline std::int64_t rows_of(std::span<const std::int64_t> shape) { return shape.empty() ? 1 : shape[0]; }
inline std::int64_t columns_of(std::span<const std::int64_t> shape) {
  return shape.empty() ? 1 : count_of(shape.subspan(1));
}

}  // namespace d2c
