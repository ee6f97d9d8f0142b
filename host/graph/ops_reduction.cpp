#include "host/graph/op_registry.hpp"

#include <utility>

namespace d2c::host {
namespace {

using Types = std::vector<TensorType>;

Shape reduced(const Shape& shape, const std::vector<bool>& axes, bool keep) {
  Shape out;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (!axes[i]) out.push_back(shape[i]);
    else if (keep) out.push_back(1);
  return out;
}

Types reduce(const OpCall& op) {
  const Shape& x = op.shape("x");
  const std::vector<bool> axes =
      op.has("axes") ? op.axes_mask(op.integers("axes"), x.size()) : std::vector<bool>(x.size(), true);
  return {{op.type("x").dtype, reduced(x, axes, op.boolean_or("keep_dims", false))}};
}

Types reduce_arg(const OpCall& op) {
  const Shape& x = op.shape("x");
  std::vector<bool> axes(x.size(), false);
  axes[op.axis_or("axis", -1, x.size())] = true;
  DType dtype = DType::i32;
  if (op.has("output_dtype")) {
    const std::string wanted = op.text("output_dtype");
    if (wanted == "uint16") dtype = DType::u16;
    else if (wanted != "int32") op.fail("output_dtype '" + wanted + "' is neither int32 nor uint16");
  }
  return {{dtype, reduced(x, axes, op.boolean_or("keep_dims", false))}};
}

constexpr OpSpec reduce_op(const char* type) {
  return {type,
          {{"x", kNumber}, {"axes", kI32, kConstant | kOptional}, {"keep_dims", kBool, kConstant | kOptional}},
          reduce};
}

constexpr OpSpec reduce_arg_op(const char* type) {
  return {type,
          {{"x", kNumber},
           {"axis", kI32, kConstant | kOptional},
           {"keep_dims", kBool, kConstant | kOptional},
           {"output_dtype", kText, kConstant | kOptional}},
          reduce_arg};
}

constexpr OpSpec kOps[] = {
    reduce_op("reduce_mean"),       reduce_op("reduce_sum"),        reduce_op("reduce_max"),
    reduce_op("reduce_min"),        reduce_op("reduce_sum_square"), reduce_op("reduce_l2_norm"),
    reduce_arg_op("reduce_argmax"),
};

}  // namespace

std::span<const OpSpec> reduction_ops() { return kOps; }

}  // namespace d2c::host
