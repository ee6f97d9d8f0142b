// Ops that pick numbers by index: gather and slices.
#include "libs/mil_cpu/ops.hpp"
#include "libs/mil_cpu/slice.hpp"
#include "libs/mil_cpu/stored.hpp"
#include "libs/numeric/convert.hpp"

#include <algorithm>
#include <optional>

namespace d2c::mil_cpu {
namespace {

[[noreturn]] void fail_index(const std::string& where, std::int64_t index, std::int64_t extent) {
  fail_input(where + ": index " + std::to_string(index) + " of an axis of " + std::to_string(extent));
}

std::string name_of(const Op& op) { return op.operation().type + " '" + op.operation().name + "'"; }

/// Rows of a stored table stay compressed: only those asked for are expanded.
void add_gather_stored(Op& op, ValueId id) {
  const auto table = op.tensor("x").stored;
  const auto indices = op.numbers("indices");
  const auto out = op.compiler().make(id);
  const std::int64_t count = op.type("indices").count(), rows = op.shape("x")[0], row = columns_of(op.shape("x"));
  op.compiler().add([=, where = name_of(op)](Frame& f) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int32_t index = indices->integers(f)[i];
      if (index < 0 || index >= rows) fail_index(where, index, rows);
      expand_rows(*table, index, 1, out->reals_out(f) + i * row);
    }
  });
}

void add_gather(Op& op) {
  op.only({"x", "indices", "axis", "batch_dims", "validate_indices"});
  op.need_results(1);
  const TensorType &x = op.type("x"), &indices = op.type("indices");
  if (is_real(indices.dtype)) op.fail("indices are " + indices.text());
  if (op.integer("batch_dims", 0) != 0) op.fail("batch_dims other than 0 are not supported");
  const std::size_t axis = op.axis("axis", 0, x.shape.size());
  const auto split = x.shape.begin() + static_cast<std::ptrdiff_t>(axis);
  Shape shape(x.shape.begin(), split);
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), split + 1, x.shape.end());
  const ValueId id = op.result({x.dtype, shape});
  if (axis == 0 && op.tensor("x").stored != nullptr && is_real(x.dtype)) return add_gather_stored(op, id);
  const std::int64_t outer = count_of(std::span(x.shape).first(axis)), extent = x.shape[axis],
                     inner = count_of(std::span(x.shape).subspan(axis + 1)), count = indices.count();
  const auto from = op.numbers("x"), at = op.numbers("indices");
  const auto out = op.compiler().make(id);
  op.compiler().add([=, where = name_of(op)](Frame& f) {
    std::int32_t* to = out->integers_out(f);
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int32_t index = at->integers(f)[i];
        if (index < 0 || index >= extent) fail_index(where, index, extent);
        to = std::copy_n(from->integers(f) + (o * extent + index) * inner, inner, to);
      }
  });
}

void add_gather_along_axis(Op& op) {
  op.only({"x", "indices", "axis", "validate_indices"});
  op.need_results(1);
  const TensorType &x = op.type("x"), &indices = op.type("indices");
  const std::size_t axis = op.axis("axis", 0, x.shape.size());
  bool fits = indices.shape.size() == x.shape.size() && !is_real(indices.dtype);
  for (std::size_t a = 0; fits && a < x.shape.size(); ++a) fits = a == axis || indices.shape[a] == x.shape[a];
  if (!fits) op.fail(indices.text() + " does not index " + x.text());
  const std::int64_t outer = count_of(std::span(x.shape).first(axis)), extent = x.shape[axis],
                     inner = count_of(std::span(x.shape).subspan(axis + 1)), picked = indices.shape[axis];
  const auto from = op.numbers("x"), at = op.numbers("indices");
  const auto out = op.compiler().make(op.result({x.dtype, indices.shape}));
  op.compiler().add([=, where = name_of(op)](Frame& f) {
    for (std::int64_t i = 0, n = outer * picked * inner; i < n; ++i) {
      const std::int32_t index = at->integers(f)[i];
      if (index < 0 || index >= extent) fail_index(where, index, extent);
      out->integers_out(f)[i] = from->integers(f)[(i / (picked * inner) * extent + index) * inner + i % inner];
    }
  });
}

// ---------------------------------------------------------------- slices

/// The offset of a box whose elements lie one after the other and whose place is known; nothing for others.
std::optional<std::int64_t> known_offset(const Op& op, const Shape& extents, const Known& begin, const Shape& size) {
  std::int64_t offset = 0, stride = 1;
  bool contiguous = true, inside_full = true;
  for (std::size_t a = size.size(); a-- > 0;) {
    if (begin.size() != size.size() || !begin[a]) return std::nullopt;
    if (*begin[a] < 0 || *begin[a] > extents[a] - size[a]) op.fail("reaches beyond " + to_string(extents));
    offset += *begin[a] * stride;
    stride *= extents[a];
    contiguous &= size[a] == 1 || inside_full;
    inside_full &= size[a] == extents[a];
  }
  return contiguous ? std::optional(offset) : std::nullopt;
}

/// A box of a state stays where it is if it can; otherwise only the box is read.
void add_slice_of_state(Op& op, ValueId id, const Shape& size) {
  const StateRegion region = *op.tensor("x").region;
  Compiler& c = op.compiler();
  if (const auto offset = known_offset(op, region.shape, c.fusions().known[op.id("begin")], size))
    return c.set_region(id, {region.state, region.offset + *offset, size});
  const auto at = op.numbers("begin");
  const auto out = c.make(id);
  c.add([=, dtype = c.state_dtype(region), where = name_of(op)](Frame& f) {
    const std::byte* from = f.states[region.state].data;
    const Box box = box_at(at->integers(f), size, region.shape, where);
    for_each_run(region.shape, box, [&](std::int64_t first, std::int64_t done, std::int64_t n) {
      numeric::to_float(dtype, from + bytes_of(dtype, region.offset + first), static_cast<std::size_t>(n),
                        out->reals_out(f) + done);
    });
  });
}

void add_slice_by_size(Op& op) {
  op.only({"x", "begin", "size"});
  op.need_results(1);
  const TensorType& x = op.type("x");
  const std::size_t rank = x.shape.size();
  Shape size = op.integers("size");
  const Known begin = op.compiler().fusions().known[op.id("begin")];
  if (size.size() != rank || op.type("begin").count() != static_cast<std::int64_t>(rank))
    op.fail("begin and size do not fit " + x.text());
  for (std::size_t a = 0; a < rank; ++a) {
    if (size[a] == -1) {
      if (begin.size() != rank || !begin[a]) op.fail("a size of -1 needs a known begin");
      size[a] = x.shape[a] - *begin[a];
    }
    if (size[a] < 0 || size[a] > x.shape[a]) op.fail("size " + to_string(size) + " does not fit " + x.text());
  }
  const ValueId id = op.result({x.dtype, size});
  if (op.tensor("x").region && !op.tensor("x").region->rest) return add_slice_of_state(op, id, size);
  const auto from = op.numbers("x"), at = op.numbers("begin");
  const auto out = op.compiler().make(id);
  op.compiler().add([=, extents = x.shape, where = name_of(op)](Frame& f) {
    const Box box = box_at(at->integers(f), size, extents, where);
    read_box(from->integers(f), extents, box, out->integers_out(f));
  });
}

void add_slice_by_index(Op& op) {
  op.only({"x", "begin", "end", "stride", "begin_mask", "end_mask", "squeeze_mask"});
  op.need_results(1);
  const TensorType& x = op.type("x");
  const std::size_t rank = x.shape.size();
  const auto from_start = op.flags("begin_mask", rank), to_end = op.flags("end_mask", rank),
             squeezed = op.flags("squeeze_mask", rank);
  const Shape begin = op.integers("begin"), end = op.integers("end"),
              stride = op.has("stride") ? op.integers("stride") : Shape(rank, 1);
  if (begin.size() != rank || end.size() != rank || stride.size() != rank) op.fail("does not fit " + x.text());
  Shape shape, size;
  std::vector<std::int32_t> first;
  for (std::size_t a = 0; a < rank; ++a) {
    if (stride[a] != 1) op.fail("strides other than 1 are not supported");
    const auto clamp = [&](std::int64_t v) {
      return std::clamp<std::int64_t>(v < 0 ? v + x.shape[a] : v, 0, x.shape[a]);
    };
    const std::int64_t low = from_start[a] ? 0 : clamp(begin[a]);
    const std::int64_t high = squeezed[a] ? low + 1 : to_end[a] ? x.shape[a] : clamp(end[a]);
    if (high <= low || high > x.shape[a]) op.fail("takes nothing of axis " + std::to_string(a) + " of " + x.text());
    first.push_back(static_cast<std::int32_t>(low));
    size.push_back(high - low);
    if (!squeezed[a]) shape.push_back(high - low);
  }
  const ValueId id = op.result({x.dtype, shape});
  const auto from = op.numbers("x");
  const auto out = op.compiler().make(id);
  op.compiler().add([=, extents = x.shape, where = name_of(op)](Frame& f) {
    read_box(from->integers(f), extents, box_at(first.data(), size, extents, where), out->integers_out(f));
  });
}

void add_slice_update(Op& op) {
  op.need_results(1);
  const SliceUpdate slice = slice_update(op);
  const TensorType& x = op.type("x");
  const auto from = op.numbers("x"), update = op.numbers("update");
  const auto out = op.compiler().make(op.result(x));
  op.compiler().add([=, extents = x.shape, count = x.count()](Frame& f) {
    std::copy_n(from->integers(f), count, out->integers_out(f));
    write_box(update->integers(f), extents, slice.box(f), out->integers_out(f));
  });
}

constexpr NamedOp kOps[] = {
    {"gather", add_gather},
    {"gather_along_axis", add_gather_along_axis},
    {"slice_by_size", add_slice_by_size},
    {"slice_by_index", add_slice_by_index},
    {"slice_update", add_slice_update},
};

}  // namespace

std::span<const NamedOp> indexing_ops() { return kOps; }

}  // namespace d2c::mil_cpu
