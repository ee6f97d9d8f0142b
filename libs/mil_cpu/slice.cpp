#include "libs/mil_cpu/slice.hpp"

#include <algorithm>

namespace d2c::mil_cpu {

Box box_at(const std::int32_t* begin, const Shape& size, const Shape& extents, const std::string& where) {
  Box box{Shape(begin, begin + size.size()), size};
  for (std::size_t a = 0; a < size.size(); ++a)
    if (box.begin[a] < 0 || box.begin[a] > extents[a] - size[a])
      fail_input(where + ": " + to_string(size) + " at " + to_string(box.begin) + " does not lie in " +
                 to_string(extents));
  return box;
}

void read_box(const std::int32_t* tensor, const Shape& extents, const Box& box, std::int32_t* out) {
  for_each_run(extents, box,
               [&](std::int64_t at, std::int64_t done, std::int64_t n) { std::copy_n(tensor + at, n, out + done); });
}

void write_box(const std::int32_t* values, const Shape& extents, const Box& box, std::int32_t* tensor) {
  for_each_run(extents, box,
               [&](std::int64_t at, std::int64_t done, std::int64_t n) { std::copy_n(values + done, n, tensor + at); });
}

Box SliceUpdate::box(const Frame& f) const {
  std::vector<std::int32_t> first(size.size());
  for (std::size_t a = 0; a < size.size(); ++a) {
    const auto resolve = [&](std::int64_t v) { return v < 0 ? v + extents[a] : v; };
    const std::int64_t low = from_start[a] ? 0 : resolve(begin->integers(f)[a]);
    const std::int64_t high = to_end[a] ? extents[a] : resolve(end->integers(f)[a]);
    if (high - low != size[a])
      fail_input(where + ": writes " + to_string(size) + " to [" + std::to_string(low) + ", " + std::to_string(high) +
                 ") of axis " + std::to_string(a));
    first[a] = static_cast<std::int32_t>(low);
  }
  return box_at(first.data(), size, extents, where);
}

SliceUpdate slice_update(Op& op) {
  op.only({"x", "update", "begin", "end", "stride", "begin_mask", "end_mask", "squeeze_mask"});
  const TensorType &x = op.type("x"), &update = op.type("update");
  const std::size_t rank = x.shape.size();
  const auto count = static_cast<std::int64_t>(rank);
  if (update.dtype != x.dtype || update.shape.size() != rank || rank == 0 || op.type("begin").count() != count ||
      op.type("end").count() != count || op.type("begin").dtype != DType::i32 || op.type("end").dtype != DType::i32)
    op.fail("update " + update.text() + " does not go into " + x.text());
  if (op.has("stride") && op.integers("stride") != Shape(rank, 1)) op.fail("strides other than 1 are not supported");
  if (std::ranges::count(op.flags("squeeze_mask", rank), true) > 0) op.fail("squeeze_mask is not supported");
  return {op.numbers("begin"),
          op.numbers("end"),
          op.flags("begin_mask", rank),
          op.flags("end_mask", rank),
          update.shape,
          x.shape,
          op.operation().type + " '" + op.operation().name + "'"};
}

}  // namespace d2c::mil_cpu
