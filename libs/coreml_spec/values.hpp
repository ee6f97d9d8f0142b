// Types and immediate values of a program, between protobuf and d2c.
#pragma once

#include "libs/coreml_spec/mil.pb.h"

#include <d2c/tensor.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace d2c::coreml {

inline constexpr std::int64_t kUnknownDimension = -1;

/// The tensor type, or the type a state wraps. Dimensions known only at run time are kUnknownDimension. Other kinds of
/// types, unknown element types and contradictions are Error(input); `where` opens the message.
[[nodiscard]] TensorType tensor_type(const spec::ValueType& type, const std::string& where);

/// The tensor type of a value, which must be static.
[[nodiscard]] TensorType value_type(const spec::Value& value, const std::string& where);

void set_tensor_type(const TensorType& type, spec::ValueType& out);

/// The bytes of an immediate value, packed as abi.h packs tensors (strings NUL-terminated). A value whose contents do not
/// fit its type is Error(input).
[[nodiscard]] std::vector<std::byte> immediate_bytes(const spec::Value& value, const std::string& where);

/// Makes an immediate value of `data`, which must hold exactly `type` (a string of rank 0 is NUL-terminated).
void set_immediate(const TensorType& type, std::span<const std::byte> data, spec::Value& out);

}  // namespace d2c::coreml
