#include "libs/coreml_spec/values.hpp"

#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>

namespace d2c::coreml {
namespace {

using Member = spec::TensorValue::ValueCase;

/// The member of a TensorValue that carries immediates of a type. Core ML looks nowhere else.
Member member_of(DType dtype) {
  switch (dtype) {
    case DType::boolean: return Member::kBools;
    case DType::string: return Member::kStrings;
    case DType::f32: return Member::kFloats;
    case DType::f64: return Member::kDoubles;
    case DType::i32:
    case DType::i16:
    case DType::u16: return Member::kInts;
    case DType::i64:
    case DType::u64: return Member::kLongs;
    default: return Member::kBytes;
  }
}

bool is_known(std::int32_t dtype) {
  const auto d = static_cast<DType>(dtype);
  return d == DType::string || bits_of(d) > 0;
}

/// Copies elements of type T out of packed bytes into a repeated field of a wider or equal type.
template <class T, class Field>
void widen(std::span<const std::byte> data, Field& out) {
  out.Reserve(static_cast<int>(data.size() / sizeof(T)));
  for (std::size_t at = 0; at + sizeof(T) <= data.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, data.data() + at, sizeof value);
    out.Add(static_cast<std::remove_cvref_t<decltype(out.Get(0))>>(value));
  }
}

template <class T, class Field>
std::vector<std::byte> narrow(const Field& in, const std::string& where) {
  std::vector<std::byte> out(static_cast<std::size_t>(in.size()) * sizeof(T));
  std::byte* to = out.data();
  for (const auto wide : in) {
    const T value = static_cast<T>(wide);
    if constexpr (std::is_integral_v<T> && sizeof(T) < sizeof wide)
      if (value != wide) fail_input(where + ": " + std::to_string(wide) + " does not fit its element type");
    std::memcpy(to, &value, sizeof value);
    to += sizeof value;
  }
  return out;
}

std::vector<std::byte> as_bytes(std::string_view text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::vector<std::byte> strings_of(const spec::Strings& strings) {
  std::string all;
  for (const std::string& s : strings.values()) all.append(s).push_back('\0');
  return as_bytes(all);
}

int elements(const spec::TensorValue& tensor) {
  switch (tensor.value_case()) {
    case Member::kFloats: return tensor.floats().values_size();
    case Member::kInts: return tensor.ints().values_size();
    case Member::kBools: return tensor.bools().values_size();
    case Member::kStrings: return tensor.strings().values_size();
    case Member::kLongs: return tensor.longs().values_size();
    case Member::kDoubles: return tensor.doubles().values_size();
    default: return 0;
  }
}

void check_size(const TensorType& type, const spec::TensorValue& tensor, const std::string& where) {
  const Member member = member_of(type.dtype);
  if (tensor.value_case() != member)
    fail_input(where + ": " + type.text() + " is not stored the way its element type asks for");
  const std::int64_t count = type.count();
  const bool packed = member == Member::kBytes;
  const std::int64_t found = packed ? static_cast<std::int64_t>(tensor.bytes().values().size()) : elements(tensor);
  // A byte holds at most 8 elements, so a count beyond this cannot be meant (nor multiplied).
  constexpr std::int64_t kMaxCount = std::int64_t{1} << 40;
  if (count > kMaxCount || found != (packed ? bytes_of(type.dtype, count) : count))
    fail_input(where + ": " + type.text() + " comes with " + std::to_string(found) + (packed ? " bytes" : " elements"));
}

}  // namespace

TensorType tensor_type(const spec::ValueType& type, const std::string& where) {
  const spec::ValueType& inner = type.has_state() ? type.state().wrapped() : type;
  if (!inner.has_tensor()) fail_input(where + ": is neither a tensor nor a state");
  const spec::TensorType& tensor = inner.tensor();
  if (!is_known(tensor.dtype())) fail_input(where + ": unknown element type " + std::to_string(tensor.dtype()));
  if (tensor.rank() != tensor.dimensions_size())
    fail_input(where + ": rank " + std::to_string(tensor.rank()) + " with " + std::to_string(tensor.dimensions_size()) +
               " dimensions");
  TensorType out{static_cast<DType>(tensor.dtype()), {}};
  for (const spec::Dimension& d : tensor.dimensions()) {
    if (!d.has_constant() && !d.has_unknown()) fail_input(where + ": a dimension without a size");
    const std::uint64_t size = d.constant().size();
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      fail_input(where + ": a dimension of " + std::to_string(size));
    out.shape.push_back(d.has_constant() ? static_cast<std::int64_t>(size) : kUnknownDimension);
  }
  return out;
}

TensorType value_type(const spec::Value& value, const std::string& where) {
  TensorType type = tensor_type(value.type(), where);
  if (!checked_count(type.shape)) fail_input(where + ": a value of impossible shape " + to_string(type.shape));
  return type;
}

void set_tensor_type(const TensorType& type, spec::ValueType& out) {
  spec::TensorType& tensor = *out.mutable_tensor();
  tensor.set_dtype(static_cast<std::int32_t>(type.dtype));
  tensor.set_rank(static_cast<std::int64_t>(type.shape.size()));
  for (const std::int64_t d : type.shape)
    tensor.add_dimensions()->mutable_constant()->set_size(static_cast<std::uint64_t>(d));
}

std::vector<std::byte> immediate_bytes(const spec::Value& value, const std::string& where) {
  const TensorType type = value_type(value, where);
  if (!value.has_immediate() || !value.immediate().has_tensor()) fail_input(where + ": holds no immediate tensor");
  const spec::TensorValue& tensor = value.immediate().tensor();
  check_size(type, tensor, where);
  switch (type.dtype) {
    case DType::boolean: return narrow<bool>(tensor.bools().values(), where);
    case DType::string: return strings_of(tensor.strings());
    case DType::f32: return narrow<float>(tensor.floats().values(), where);
    case DType::f64: return narrow<double>(tensor.doubles().values(), where);
    case DType::i32: return narrow<std::int32_t>(tensor.ints().values(), where);
    case DType::i16: return narrow<std::int16_t>(tensor.ints().values(), where);
    case DType::u16: return narrow<std::uint16_t>(tensor.ints().values(), where);
    case DType::i64:
    case DType::u64: return narrow<std::int64_t>(tensor.longs().values(), where);
    default: return as_bytes(tensor.bytes().values());
  }
}

void set_immediate(const TensorType& type, std::span<const std::byte> data, spec::Value& out) {
  set_tensor_type(type, *out.mutable_type());
  spec::TensorValue& tensor = *out.mutable_immediate()->mutable_tensor();
  switch (type.dtype) {
    case DType::boolean: return widen<std::uint8_t>(data, *tensor.mutable_bools()->mutable_values());
    case DType::string:
      return tensor.mutable_strings()->add_values(reinterpret_cast<const char*>(data.data()), data.size() - 1);
    case DType::f32: return widen<float>(data, *tensor.mutable_floats()->mutable_values());
    case DType::f64: return widen<double>(data, *tensor.mutable_doubles()->mutable_values());
    case DType::i32: return widen<std::int32_t>(data, *tensor.mutable_ints()->mutable_values());
    case DType::i16: return widen<std::int16_t>(data, *tensor.mutable_ints()->mutable_values());
    case DType::u16: return widen<std::uint16_t>(data, *tensor.mutable_ints()->mutable_values());
    case DType::i64:
    case DType::u64: return widen<std::int64_t>(data, *tensor.mutable_longs()->mutable_values());
    default: tensor.mutable_bytes()->set_values(reinterpret_cast<const char*>(data.data()), data.size());
  }
}

}  // namespace d2c::coreml
