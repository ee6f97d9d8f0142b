// Ops that move numbers without changing them. All work on 32-bit numbers of either kind.
#include "libs/mil_cpu/ops.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace d2c::mil_cpu {
namespace {

/// Copies a box of `from` (read with strides) to consecutive places.
void copy_strided(const std::int32_t* from, const Shape& extents, const Shape& strides, std::int32_t* to) {
  const std::size_t rank = extents.size();
  if (rank == 0) {
    *to = *from;
    return;
  }
  const std::int64_t n = extents.back(), step = strides.back();
  const std::size_t outer = rank - 1;
  Shape index(outer, 0);
  for (std::int64_t left = count_of(std::span(extents).first(outer)); left > 0; --left, to += n) {
    if (step == 1) std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof *to);
    else
      for (std::int64_t i = 0; i < n; ++i) to[i] = from[i * step];
    for (std::size_t a = outer; a-- > 0;) {
      from += strides[a];
      if (++index[a] < extents[a]) break;
      from -= strides[a] * extents[a];
      index[a] = 0;
    }
  }
}

Shape strides_of(const Shape& shape) { return broadcast_strides(shape, shape); }

void add_reordered(Op& op, const TensorType& type, Shape extents, Shape strides) {
  op.need_results(1);
  const auto x = op.numbers("x");
  const auto out = op.compiler().make(op.result(type));
  if (type.count() == 0) return;
  op.compiler().add([=, extents = std::move(extents), strides = std::move(strides)](Frame& f) {
    copy_strided(x->integers(f), extents, strides, out->integers_out(f));
  });
}

void add_same_numbers(Op& op, const Shape& shape) {
  op.need_results(1);
  op.compiler().alias(op.result({op.type("x").dtype, shape}), op.id("x"));
}

void add_identity(Op& op) {
  op.only({"x"});
  add_same_numbers(op, op.shape("x"));
}

void add_reshape(Op& op) {
  op.only({"x", "shape"});
  const Shape& from = op.shape("x");
  Shape to = op.integers("shape");
  std::size_t inferred = to.size();
  std::int64_t product = 1;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] == 0) {  // the dimension of x at the same distance from the right
      if (to.size() - i > from.size()) op.fail("a 0 in its shape has no dimension to copy");
      to[i] = from[from.size() - (to.size() - i)];
    }
    if (to[i] == -1 && inferred == to.size()) inferred = i;
    else if (to[i] < 0) op.fail("its shape " + to_string(to) + " is no shape");
    else
      product = to[i] != 0 && product > (std::int64_t{1} << 40) / to[i] ? op.fail("its shape is too large"),
      0                                                                 : product * to[i];
  }
  const std::int64_t count = op.type("x").count();
  if (inferred < to.size()) {
    if (product == 0 || count % product != 0) op.fail(op.type("x").text() + " does not reshape to " + to_string(to));
    to[inferred] = count / product;
  } else if (product != count) {
    op.fail(op.type("x").text() + " does not reshape to " + to_string(to));
  }
  add_same_numbers(op, to);
}

void add_expand_dims(Op& op) {
  op.only({"x", "axes"});
  const Shape& from = op.shape("x");
  const Shape axes = op.integers("axes");
  const std::size_t rank = from.size() + axes.size();
  if (rank > D2C_MAX_RANK) op.fail("makes a tensor of rank " + std::to_string(rank));
  std::vector<bool> fresh(rank, false);
  for (const std::int64_t a : axes) {
    const std::size_t at = op.normalized(a, rank);
    if (fresh[at]) op.fail("names an axis twice");
    fresh[at] = true;
  }
  Shape to;
  for (std::size_t i = 0, k = 0; i < rank; ++i) to.push_back(fresh[i] ? 1 : from[k++]);
  add_same_numbers(op, to);
}

void add_squeeze(Op& op) {
  op.only({"x", "axes"});
  const Shape& from = op.shape("x");
  std::vector<bool> drop(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) drop[i] = !op.has("axes") && from[i] == 1;
  if (op.has("axes"))
    for (const std::int64_t a : op.integers("axes")) drop[op.normalized(a, from.size())] = true;
  Shape to;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!drop[i]) to.push_back(from[i]);
    else if (from[i] != 1) op.fail("axis " + std::to_string(i) + " of " + to_string(from) + " is not 1");
  }
  add_same_numbers(op, to);
}

void add_transpose(Op& op) {
  op.only({"x", "perm"});
  const Shape& from = op.shape("x");
  const Shape perm = op.integers("perm"), strides = strides_of(from);
  std::vector<bool> used(from.size(), false);
  if (perm.size() != from.size()) op.fail("perm " + to_string(perm) + " does not fit " + to_string(from));
  Shape to, walk;
  for (const std::int64_t p : perm) {
    const std::size_t a = op.normalized(p, from.size());
    if (used[a]) op.fail("perm " + to_string(perm) + " names an axis twice");
    used[a] = true;
    to.push_back(from[a]);
    walk.push_back(strides[a]);
  }
  // Where the axes that are not 1 keep their order, nothing moves.
  std::size_t last = 0;
  bool moves = false;
  for (const std::int64_t p : perm) {
    const std::size_t a = op.normalized(p, from.size());
    if (from[a] == 1) continue;
    moves |= a < last;
    last = a;
  }
  if (!moves) return add_same_numbers(op, to);
  add_reordered(op, {op.type("x").dtype, to}, to, walk);
}

void add_tile(Op& op) {
  op.only({"x", "reps"});
  const Shape& from = op.shape("x");
  const Shape reps = op.integers("reps"), strides = strides_of(from);
  if (reps.size() != from.size()) op.fail("reps " + to_string(reps) + " does not fit " + to_string(from));
  Shape to, extents, walk;
  for (std::size_t a = 0; a < from.size(); ++a) {
    if (reps[a] < 1 || reps[a] > (std::int64_t{1} << 20)) op.fail("reps " + to_string(reps) + " is no repetition");
    to.push_back(from[a] * reps[a]);
    extents.insert(extents.end(), {reps[a], from[a]});
    walk.insert(walk.end(), {0, strides[a]});
  }
  add_reordered(op, {op.type("x").dtype, to}, extents, walk);
}

// ---------------------------------------------------------------- several operands or results

void add_concat(Op& op) {
  op.only({"values", "axis", "interleave"});
  op.need_results(1);
  if (op.flags("interleave", op.has("interleave") ? 1 : 0) == std::vector<bool>{true}) op.fail("does not interleave");
  const auto ids = op.ids("values");
  TensorType type = op.compiler().tensor(ids[0]).type;
  const std::size_t axis = op.axis("axis", 0, type.shape.size());
  const std::int64_t inner = count_of(std::span(type.shape).subspan(axis + 1));
  const std::int64_t outer = count_of(std::span(type.shape).first(axis));
  struct Part {
    std::shared_ptr<const Place> place;
    std::int64_t run, at;
  };
  std::vector<Part> parts;
  std::int64_t extent = 0;
  for (const ValueId id : ids) {
    TensorType part = op.compiler().tensor(id).type;
    if (part.shape.size() != type.shape.size()) op.fail("joins tensors of different ranks");
    const std::int64_t own = part.shape[axis];
    part.shape[axis] = type.shape[axis];
    if (part != type) op.fail("joins " + op.compiler().tensor(id).type.text() + " and " + type.text());
    parts.push_back({op.compiler().numbers(id), own * inner, extent * inner});
    extent += own;
  }
  type.shape[axis] = extent;
  const auto out = op.compiler().make(op.result(type));
  op.compiler().add([=](Frame& f) {
    for (const Part& p : parts)
      for (std::int64_t o = 0; o < outer; ++o)
        std::copy_n(p.place->integers(f) + o * p.run, p.run, out->integers_out(f) + o * extent * inner + p.at);
  });
}

void add_stack(Op& op) {
  op.only({"values", "axis"});
  op.need_results(1);
  const auto ids = op.ids("values");
  const TensorType& first = op.compiler().tensor(ids[0]).type;
  const std::size_t axis = op.axis("axis", 0, first.shape.size() + 1);
  const std::int64_t inner = count_of(std::span(first.shape).subspan(axis)),
                     outer = first.count() / std::max<std::int64_t>(inner, 1);
  std::vector<std::shared_ptr<const Place>> parts;
  for (const ValueId id : ids) {
    if (op.compiler().tensor(id).type != first) op.fail("stacks tensors of different types");
    parts.push_back(op.compiler().numbers(id));
  }
  TensorType type = first;
  type.shape.insert(type.shape.begin() + static_cast<std::ptrdiff_t>(axis), static_cast<std::int64_t>(ids.size()));
  const auto out = op.compiler().make(op.result(type));
  op.compiler().add([=](Frame& f) {
    std::int32_t* to = out->integers_out(f);
    for (std::int64_t o = 0; o < outer; ++o)
      for (const auto& p : parts) to = std::copy_n(p->integers(f) + o * inner, inner, to);
  });
}

void add_split(Op& op) {
  op.only({"x", "num_splits", "split_sizes", "axis"});
  const TensorType& x = op.type("x");
  const std::size_t axis = op.axis("axis", 0, x.shape.size());
  const auto n = static_cast<std::int64_t>(op.operation().results.size());
  Shape sizes = op.has("split_sizes") ? op.integers("split_sizes")
                                      : Shape(static_cast<std::size_t>(n), n == 0 ? 0 : x.shape[axis] / n);
  std::int64_t sum = 0;
  for (const std::int64_t s : sizes) sum += std::max<std::int64_t>(s, 0);
  if (op.integer("num_splits", n) != n || static_cast<std::int64_t>(sizes.size()) != n || sum != x.shape[axis])
    op.fail("does not split " + x.text() + " into " + std::to_string(n));
  const std::int64_t inner = count_of(std::span(x.shape).subspan(axis + 1));
  const std::int64_t outer = count_of(std::span(x.shape).first(axis)), whole = x.shape[axis] * inner;
  const auto from = op.numbers("x");
  std::int64_t at = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    TensorType type = x;
    type.shape[axis] = sizes[i];
    const std::int64_t run = sizes[i] * inner, first = at;
    at += run;
    const auto out = op.compiler().make(op.result(type, i));
    op.compiler().add([=](Frame& f) {
      for (std::int64_t o = 0; o < outer; ++o)
        std::copy_n(from->integers(f) + o * whole + first, run, out->integers_out(f) + o * run);
    });
  }
}

constexpr NamedOp kOps[] = {
    {"identity", add_identity}, {"reshape", add_reshape},     {"expand_dims", add_expand_dims},
    {"squeeze", add_squeeze},   {"transpose", add_transpose}, {"tile", add_tile},
    {"concat", add_concat},     {"stack", add_stack},         {"split", add_split},
};

}  // namespace

std::span<const NamedOp> layout_ops() { return kOps; }

}  // namespace d2c::mil_cpu
