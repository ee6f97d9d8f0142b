#include "host/graph/op_registry.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace d2c::host {
namespace {

using Types = std::vector<TensorType>;

Types concat(const OpCall& op) {
  const auto values = op.operands("values");
  Shape out = values.front().type.shape;
  const std::size_t axis = op.axis_or("axis", 0, out.size());
  if (op.boolean_or("interleave", false)) op.fail("interleave is not supported");
  for (std::size_t v = 1; v < values.size(); ++v) {
    Shape other = values[v].type.shape;
    if (other.size() != out.size())
      op.fail("values " + to_string(out) + " and " + to_string(other) + " differ in rank");
    const std::int64_t joined = out[axis] + other[axis];
    other[axis] = out[axis];
    if (other != out) op.fail("values differ outside axis " + std::to_string(axis) + ": " + values[v].type.text());
    out[axis] = joined;
  }
  return {{values.front().type.dtype, std::move(out)}};
}

Types stack(const OpCall& op) {
  const auto values = op.operands("values");
  Shape out = values.front().type.shape;
  for (const Operand& v : values)
    if (v.type.shape != out)
      op.fail("values " + to_string(out) + " and " + to_string(v.type.shape) + " differ in shape");
  const std::size_t axis = op.axis_or("axis", 0, out.size() + 1);
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(axis), static_cast<std::int64_t>(values.size()));
  return {{values.front().type.dtype, std::move(out)}};
}

Shape split_sizes(const OpCall& op, std::int64_t extent) {
  if (op.has("split_sizes")) {
    Shape sizes = op.integers("split_sizes");
    if (std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) != extent)
      op.fail("split_sizes " + to_string(sizes) + " do not add up to " + std::to_string(extent));
    return sizes;
  }
  const std::int64_t parts = op.integer_or("num_splits", 0);
  if (parts < 1 || extent % parts != 0)
    op.fail(std::to_string(parts) + " parts do not divide a dimension of " + std::to_string(extent));
  return Shape(static_cast<std::size_t>(parts), extent / parts);
}

Types split(const OpCall& op) {
  TensorType part = op.type("x");
  const std::size_t axis = op.axis_or("axis", 0, part.shape.size());
  Types results;
  for (const std::int64_t size : split_sizes(op, part.shape[axis])) {
    part.shape[axis] = size;
    results.push_back(part);
  }
  return results;
}

Types transpose(const OpCall& op) {
  const TensorType& x = op.type("x");
  const Shape perm = op.integers("perm");
  if (perm.size() != x.shape.size()) op.fail("perm " + to_string(perm) + " does not fit " + op.describe("x"));
  (void)op.axes_mask(perm, x.shape.size());
  Shape out;
  for (const std::int64_t axis : perm) out.push_back(x.shape[op.normalized_axis(axis, x.shape.size())]);
  return {{x.dtype, std::move(out)}};
}

/// Zeros copy the dimension of x at the same distance from the right.
void copy_zero_dimensions(const OpCall& op, const Shape& x, Shape& out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] != 0) continue;
    const std::size_t from_right = out.size() - i;
    if (from_right > x.size()) op.fail("shape " + to_string(out) + " copies a dimension that x does not have");
    out[i] = x[x.size() - from_right];
  }
}

Types reshape(const OpCall& op) {
  const TensorType& x = op.type("x");
  Shape out = op.integers("shape");
  copy_zero_dimensions(op, x.shape, out);
  const auto free = std::ranges::find(out, -1);
  std::int64_t known = 1;
  const auto refuse = [&] { op.fail(op.describe("x") + " cannot take the shape " + to_string(op.integers("shape"))); };
  if (free != out.end()) *free = 1;
  if (const auto count = checked_count(out)) known = *count;
  else refuse();
  const std::int64_t total = x.count();
  if (known < 1 || total % known != 0) refuse();
  if (free != out.end()) *free = total / known;
  else if (known != total) refuse();
  return {{x.dtype, std::move(out)}};
}

Types expand_dims(const OpCall& op) {
  const TensorType& x = op.type("x");
  const Shape axes = op.integers("axes");
  const std::vector<bool> added = op.axes_mask(axes, x.shape.size() + axes.size());
  Shape out;
  auto next = x.shape.begin();
  for (const bool is_new : added) out.push_back(is_new ? 1 : *next++);
  return {{x.dtype, std::move(out)}};
}

Types squeeze(const OpCall& op) {
  const TensorType& x = op.type("x");
  std::vector<bool> dropped(x.shape.size());
  if (op.has("axes")) dropped = op.axes_mask(op.integers("axes"), x.shape.size());
  else std::transform(x.shape.begin(), x.shape.end(), dropped.begin(), [](std::int64_t d) { return d == 1; });
  Shape out;
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    if (!dropped[i]) out.push_back(x.shape[i]);
    else if (x.shape[i] != 1) op.fail("cannot squeeze dimension " + std::to_string(i) + " of " + op.describe("x"));
  }
  return {{x.dtype, std::move(out)}};
}

Types tile(const OpCall& op) {
  TensorType out = op.type("x");
  const Shape reps = op.integers("reps");
  if (reps.size() != out.shape.size()) op.fail("reps " + to_string(reps) + " do not fit " + op.describe("x"));
  for (std::size_t i = 0; i < reps.size(); ++i) {
    if (reps[i] < 1) op.fail("reps " + to_string(reps) + " must be positive");
    out.shape[i] *= reps[i];
  }
  return {out};
}

Types range_1d(const OpCall& op) {
  const auto integer = [&](const char* parameter) {
    const Shape values = op.integers(parameter);
    if (!op.shape(parameter).empty()) op.fail(op.describe(parameter) + " must be a scalar");
    return values[0];
  };
  const std::int64_t start = integer("start"), end = integer("end"), step = integer("step");
  if (step == 0) op.fail("step is 0");
  const std::int64_t count = step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step;
  return {{DType::i32, {count}}};
}

constexpr OpSpec kOps[] = {
    {"concat",
     {{"values", kTensor, kVariadic, 'T'}, {"axis", kI32, kConstant}, {"interleave", kBool, kConstant | kOptional}},
     concat},
    {"stack", {{"values", kTensor, kVariadic, 'T'}, {"axis", kI32, kConstant}}, stack},
    {"split",
     {{"x", kTensor},
      {"num_splits", kI32, kConstant | kOptional},
      {"split_sizes", kI32, kConstant | kOptional},
      {"axis", kI32, kConstant}},
     split},
    {"transpose", {{"x", kTensor}, {"perm", kI32, kConstant}}, transpose},
    {"reshape", {{"x", kTensor}, {"shape", kI32}}, reshape},
    {"expand_dims", {{"x", kTensor}, {"axes", kI32, kConstant}}, expand_dims},
    {"squeeze", {{"x", kTensor}, {"axes", kI32, kConstant | kOptional}}, squeeze},
    {"tile", {{"x", kTensor}, {"reps", kI32}}, tile},
    {"range_1d", {{"end", kI32}, {"start", kI32}, {"step", kI32}}, range_1d},
};

}  // namespace

std::span<const OpSpec> layout_ops() { return kOps; }

}  // namespace d2c::host
