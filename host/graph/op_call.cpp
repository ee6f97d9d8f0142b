#include "host/graph/op_call.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace d2c::host {
namespace {

DTypes bit_of(DType t) noexcept {
  switch (t) {
    case DType::f16: return kF16;
    case DType::f32: return kF32;
    case DType::i32: return kI32;
    case DType::boolean: return kBool;
    case DType::i8:
    case DType::u8:
    case DType::i16:
    case DType::u16: return kSmall;
    case DType::string: return kText;
    default: return 0;
  }
}

std::string names_of(DTypes set) {
  static constexpr std::pair<DTypes, const char*> kNames[] = {
      {kF16, "fp16"}, {kF32, "fp32"}, {kI32, "int32"}, {kBool, "bool"}, {kSmall, "int8..uint16"}, {kText, "string"}};
  std::string text;
  for (const auto& [bit, name] : kNames)
    if (set & bit) text += (text.empty() ? "" : "/") + std::string(name);
  return text;
}

template <class T>
T element(const Constant& c, std::size_t index) {
  T value;
  std::memcpy(&value, c.data.data() + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

const ParameterSpec* OpSpec::find(std::string_view parameter) const noexcept {
  for (const ParameterSpec& p : parameters)
    if (p.name != nullptr && p.name == parameter) return &p;
  return nullptr;
}

OpCall::OpCall(const OpSpec& spec, std::string where, std::vector<BoundArgument> arguments)
    : spec_(spec), where_(std::move(where)), arguments_(std::move(arguments)) {
  check_names();
  for (const BoundArgument& a : arguments_) check_operands(*spec_.find(a.parameter), a);
  check_groups();
}

void OpCall::check_names() const {
  for (std::size_t i = 0; i < arguments_.size(); ++i) {
    const std::string& name = arguments_[i].parameter;
    if (spec_.find(name) == nullptr) fail("has no parameter '" + name + "'");
    for (std::size_t j = 0; j < i; ++j)
      if (arguments_[j].parameter == name) fail("parameter '" + name + "' is given twice");
  }
  for (const ParameterSpec& p : spec_.parameters)
    if (p.name != nullptr && !(p.flags & kOptional) && !has(p.name))
      fail(std::string("needs parameter '") + p.name + "'");
}

void OpCall::check_operands(const ParameterSpec& spec, const BoundArgument& argument) const {
  const std::string name = argument.parameter;
  if (argument.operands.empty()) fail("parameter '" + name + "' has no value");
  if (argument.operands.size() > 1 && !(spec.flags & kVariadic)) fail("parameter '" + name + "' takes one value");
  for (const Operand& o : argument.operands) {
    const bool is_state = o.kind == D2C_NODE_STATE;
    if (is_state && !(spec.flags & kState)) fail(name + " is a state; read it with read_state first");
    if (!is_state && (spec.flags & kState)) fail(name + " must be a state");
    if ((spec.flags & kConstant) && !o.compile_time()) fail(name + " must be a constant");
    if (!(bit_of(o.type.dtype) & spec.dtypes))
      fail(name + " is " + o.type.text() + ", which is not " + names_of(spec.dtypes));
  }
}

void OpCall::check_groups() const {
  for (const BoundArgument& a : arguments_) {
    const char group = spec_.find(a.parameter)->group;
    if (group == 0) continue;
    for (const BoundArgument& b : arguments_) {
      if (spec_.find(b.parameter)->group != group) continue;
      for (const Operand& o : b.operands)
        if (o.type.dtype != a.operands.front().type.dtype)
          fail(describe(a.parameter) + " and " + b.parameter + " " + o.type.text() + " must share one element type");
    }
  }
}

const BoundArgument* OpCall::find(std::string_view parameter) const noexcept {
  const auto it =
      std::find_if(arguments_.begin(), arguments_.end(), [&](const auto& a) { return a.parameter == parameter; });
  return it == arguments_.end() ? nullptr : &*it;
}

std::span<const Operand> OpCall::operands(std::string_view parameter) const {
  const BoundArgument* a = find(parameter);
  if (a == nullptr) fail("needs parameter '" + std::string(parameter) + "'");
  return a->operands;
}

std::optional<Shape> OpCall::known_integers(std::string_view parameter) const {
  const Operand& o = operands(parameter).front();
  if (o.type.shape.size() > 1) fail(describe(parameter) + " must be a list of integers");
  if (o.value == nullptr) return std::nullopt;
  Shape values;
  const auto count = static_cast<std::size_t>(o.type.count());
  for (std::size_t i = 0; i < count; ++i) values.push_back(element<std::int32_t>(*o.value, i));
  return values;
}

Shape OpCall::integers(std::string_view parameter) const {
  if (auto values = known_integers(parameter)) return *std::move(values);
  fail(std::string(parameter) + " must be a constant, or the shape of the result is not static");
}

const Operand* OpCall::scalar(std::string_view parameter) const {
  const BoundArgument* a = find(parameter);
  if (a == nullptr) return nullptr;
  const Operand& o = a->operands.front();
  if (o.value == nullptr) fail(std::string(parameter) + " must be a constant of the graph");
  if (!o.type.shape.empty()) fail(describe(parameter) + " must be a scalar");
  return &o;
}

std::int64_t OpCall::integer_or(std::string_view parameter, std::int64_t fallback) const {
  const Operand* o = scalar(parameter);
  return o == nullptr ? fallback : element<std::int32_t>(*o->value, 0);
}

bool OpCall::boolean_or(std::string_view parameter, bool fallback) const {
  const Operand* o = scalar(parameter);
  return o == nullptr ? fallback : element<std::uint8_t>(*o->value, 0) != 0;
}

std::vector<bool> OpCall::booleans(std::string_view parameter, std::size_t count) const {
  std::vector<bool> values(count, false);
  if (!has(parameter)) return values;
  const Operand& o = operands(parameter).front();
  if (o.type.shape != Shape{static_cast<std::int64_t>(count)})
    fail(describe(parameter) + " must have one value per dimension, " + std::to_string(count));
  if (o.value == nullptr) fail(std::string(parameter) + " must be a constant of the graph");
  for (std::size_t i = 0; i < count; ++i) values[i] = element<std::uint8_t>(*o.value, i) != 0;
  return values;
}

std::string OpCall::text(std::string_view parameter) const {
  const Operand* o = scalar(parameter);
  if (o == nullptr) fail("needs parameter '" + std::string(parameter) + "'");
  return reinterpret_cast<const char*>(o->value->data.data());
}

std::size_t OpCall::axis_or(std::string_view parameter, std::int64_t fallback, std::size_t rank) const {
  return normalized_axis(integer_or(parameter, fallback), rank);
}

std::size_t OpCall::normalized_axis(std::int64_t axis, std::size_t rank) const {
  const auto n = static_cast<std::int64_t>(rank);
  if (axis < -n || axis >= n) fail("axis " + std::to_string(axis) + " lies outside rank " + std::to_string(rank));
  return static_cast<std::size_t>(axis < 0 ? axis + n : axis);
}

std::vector<bool> OpCall::axes_mask(const Shape& axes, std::size_t rank) const {
  std::vector<bool> mask(rank, false);
  for (const std::int64_t axis : axes) {
    const std::size_t a = normalized_axis(axis, rank);
    if (mask[a]) fail("axis " + std::to_string(axis) + " is given twice");
    mask[a] = true;
  }
  return mask;
}

std::string OpCall::describe(std::string_view parameter) const {
  return std::string(parameter) + " " + type(parameter).text();
}

void OpCall::fail(const std::string& message) const { d2c::fail(Code::plugin, where_ + ": " + message); }

Shape broadcast(const OpCall& call, std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  const std::size_t rank = std::max(a.size(), b.size());
  Shape out(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    // Dimension i counted from the right; a missing one counts as 1.
    const std::int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1) call.fail(to_string(a) + " and " + to_string(b) + " do not broadcast");
    out[rank - 1 - i] = da == 1 ? db : da;
  }
  return out;
}

}  // namespace d2c::host
