#include "host/graph/op_registry.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace d2c::host {
namespace {

using Types = std::vector<TensorType>;

Types gather(const OpCall& op) {
  const TensorType& x = op.type("x");
  const Shape& indices = op.shape("indices");
  const std::size_t axis = op.axis_or("axis", 0, x.shape.size());
  const std::int64_t batch = op.integer_or("batch_dims", 0);
  if (batch < 0 || batch > static_cast<std::int64_t>(std::min(axis, indices.size())))
    op.fail("batch_dims " + std::to_string(batch) + " does not fit " + op.describe("indices"));
  for (std::int64_t i = 0; i < batch; ++i)
    if (x.shape[i] != indices[i]) op.fail(op.describe("x") + " and " + op.describe("indices") + " differ in batch");
  Shape out(x.shape.begin(), x.shape.begin() + static_cast<std::ptrdiff_t>(axis));
  out.insert(out.end(), indices.begin() + batch, indices.end());
  out.insert(out.end(), x.shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.shape.end());
  return {{x.dtype, std::move(out)}};
}

Types gather_along_axis(const OpCall& op) {
  const TensorType& x = op.type("x");
  const Shape& indices = op.shape("indices");
  const std::size_t axis = op.axis_or("axis", 0, x.shape.size());
  bool fits = indices.size() == x.shape.size();
  for (std::size_t i = 0; fits && i < indices.size(); ++i) fits = i == axis || indices[i] == x.shape[i];
  if (!fits) op.fail(op.describe("indices") + " does not fit " + op.describe("x") + " outside the axis");
  return {{x.dtype, indices}};
}

struct Range {
  std::optional<std::int64_t> begin, end;  ///< nothing: known at run time only
  std::int64_t stride = 1;
  bool from_start = false, to_end = false;
};

/// Elements of a dimension that the range covers, nothing where that depends on run time. Out-of-range ends clamp.
std::optional<std::int64_t> covered(const Range& r, std::int64_t extent) {
  const bool forward = r.stride > 0;
  const auto resolve = [&](std::optional<std::int64_t> at) -> std::optional<std::int64_t> {
    if (!at) return std::nullopt;
    const std::int64_t absolute = *at < 0 ? *at + extent : *at;
    return forward ? std::clamp<std::int64_t>(absolute, 0, extent) : std::clamp<std::int64_t>(absolute, -1, extent - 1);
  };
  const auto begin = r.from_start ? std::optional(forward ? 0 : extent - 1) : resolve(r.begin);
  const auto end = r.to_end ? std::optional(forward ? extent : -1) : resolve(r.end);
  if (!begin || !end) return std::nullopt;
  const std::int64_t span = forward ? *end - *begin : *begin - *end;
  const std::int64_t step = forward ? r.stride : -r.stride;
  return std::max<std::int64_t>(0, (span + step - 1) / step);
}

std::optional<Shape> bound(const OpCall& op, const char* parameter, std::size_t rank) {
  if (op.shape(parameter) != Shape{static_cast<std::int64_t>(rank)})
    op.fail(op.describe(parameter) + " must have one value per dimension of x, " + std::to_string(rank));
  return op.known_integers(parameter);
}

struct SlicedDimension {
  std::int64_t extent = 0;               ///< of x
  std::optional<std::int64_t> selected;  ///< nothing: depends on run time
};

/// The dimensions that slice_by_index and slice_update address, squeezed ones left out.
std::vector<SlicedDimension> sliced(const OpCall& op, const Shape& x) {
  const std::size_t rank = x.size();
  const auto begin = bound(op, "begin", rank), end = bound(op, "end", rank);
  Shape stride(rank, 1);
  if (op.has("stride")) stride = op.integers("stride");
  if (stride.size() != rank || std::ranges::find(stride, 0) != stride.end())
    op.fail("stride " + to_string(stride) + " does not fit " + op.describe("x"));
  const auto begin_mask = op.booleans("begin_mask", rank), end_mask = op.booleans("end_mask", rank);
  const auto squeeze = op.booleans("squeeze_mask", rank);
  std::vector<SlicedDimension> out;
  for (std::size_t i = 0; i < rank; ++i) {
    if (squeeze[i]) continue;
    Range range{std::nullopt, std::nullopt, stride[i], begin_mask[i], end_mask[i]};
    if (begin) range.begin = (*begin)[i];
    if (end) range.end = (*end)[i];
    out.push_back({x[i], covered(range, x[i])});
  }
  return out;
}

Types slice_by_index(const OpCall& op) {
  const TensorType& x = op.type("x");
  Shape out;
  for (const SlicedDimension& d : sliced(op, x.shape)) {
    if (!d.selected)
      op.fail("begin and end must be constants, or the shape of the result is not static; use slice_by_size");
    out.push_back(*d.selected);
  }
  return {{x.dtype, std::move(out)}};
}

Types slice_update(const OpCall& op) {
  const TensorType& x = op.type("x");
  const Shape& update = op.shape("update");
  const std::vector<SlicedDimension> slice = sliced(op, x.shape);
  bool fits = !update.empty() && update.size() == slice.size();
  for (std::size_t i = 0; fits && i < slice.size(); ++i)
    fits = slice[i].selected ? update[i] == *slice[i].selected : update[i] <= slice[i].extent;
  if (!fits) op.fail(op.describe("update") + " does not fit the slice of " + op.describe("x"));
  return {x};
}

Types slice_by_size(const OpCall& op) {
  const TensorType& x = op.type("x");
  const auto begin = bound(op, "begin", x.shape.size());
  Shape out = op.integers("size");
  if (out.size() != x.shape.size()) op.fail("size " + to_string(out) + " does not fit " + op.describe("x"));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t extent = x.shape[i];
    const std::int64_t first = begin ? (*begin)[i] + ((*begin)[i] < 0 ? extent : 0) : 0;
    if (out[i] == -1 && !begin) op.fail("size -1 needs a constant begin, or the shape of the result is not static");
    if (out[i] == -1) out[i] = extent - first;
    if (first < 0 || out[i] < 0 || out[i] > extent - first)
      op.fail("dimension " + std::to_string(i) + " of " + op.describe("x") + " does not hold " +
              std::to_string(out[i]) + " elements from " + std::to_string(first));
  }
  return {{x.dtype, std::move(out)}};
}

constexpr OpSpec kOps[] = {
    {"gather",
     {{"x", kNumber | kSmall},
      {"indices", kIndex},
      {"axis", kI32, kConstant | kOptional},
      {"batch_dims", kI32, kConstant | kOptional},
      {"validate_indices", kBool, kConstant | kOptional}},
     gather},
    {"gather_along_axis",
     {{"x", kNumber | kSmall},
      {"indices", kIndex},
      {"axis", kI32, kConstant | kOptional},
      {"validate_indices", kBool, kConstant | kOptional}},
     gather_along_axis},
    {"slice_by_index",
     {{"x", kTensor},
      {"begin", kI32},
      {"end", kI32},
      {"stride", kI32, kConstant | kOptional},
      {"begin_mask", kBool, kConstant | kOptional},
      {"end_mask", kBool, kConstant | kOptional},
      {"squeeze_mask", kBool, kConstant | kOptional}},
     slice_by_index},
    {"slice_by_size", {{"x", kTensor}, {"begin", kI32}, {"size", kI32}}, slice_by_size},
    {"slice_update",
     {{"x", kTensor, kRequired, 'T'},
      {"update", kTensor, kRequired, 'T'},
      {"begin", kI32},
      {"end", kI32},
      {"stride", kI32, kConstant | kOptional},
      {"begin_mask", kBool, kConstant | kOptional},
      {"end_mask", kBool, kConstant | kOptional},
      {"squeeze_mask", kBool, kConstant | kOptional}},
     slice_update},
};

}  // namespace

std::span<const OpSpec> indexing_ops() { return kOps; }

}  // namespace d2c::host
