// Ops that fold axes: reductions, softmax, norms.
#include "libs/kernels/row_kernels.hpp"
#include "libs/mil_cpu/ops.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace d2c::mil_cpu {
namespace {

/// A reduction as two nested walks: over the elements of the result, and over those that fold into one of them.
struct Folding {
  Shape result;  ///< with keep_dims applied
  Shape kept, kept_strides, folded, folded_strides;
};

Folding fold(const Op& op) {
  const Shape& x = op.shape("x");
  std::vector<bool> folds(x.size(), !op.has("axes"));
  if (op.has("axes"))
    for (const std::int64_t a : op.integers("axes")) folds[op.normalized(a, x.size())] = true;
  const bool keep = op.has("keep_dims") && op.flags("keep_dims", 1)[0];
  const Shape strides = broadcast_strides(x, x);
  Folding f;
  for (std::size_t a = 0; a < x.size(); ++a) {
    if (!folds[a] || keep) f.result.push_back(folds[a] ? 1 : x[a]);
    if (x[a] == 1) continue;
    (folds[a] ? f.folded : f.kept).push_back(x[a]);
    (folds[a] ? f.folded_strides : f.kept_strides).push_back(strides[a]);
  }
  return f;
}

/// Calls visit(offset) for every index of `extents`, the last axis fastest.
template <class Visit>
void for_each_offset(const Shape& extents, const Shape& strides, std::int64_t base, Visit&& visit,
                     std::size_t axis = 0) {
  if (axis == extents.size()) return visit(base);
  for (std::int64_t i = 0; i < extents[axis]; ++i)
    for_each_offset(extents, strides, base + i * strides[axis], visit, axis + 1);
}

/// `start` and `step` fold, in double for sums so that the order of additions does not show; `finish` sees the count.
/// `whole` (null: none) folds numbers that lie side by side, from `start`.
template <class Number, class Step, class Finish>
void add_fold(Op& op, Number start, Step step, Finish finish, double (*whole)(const float*, std::int64_t) = nullptr) {
  op.only({"x", "axes", "keep_dims"});
  op.need_results(1);
  op.need_real("x");
  const Folding folding = fold(op);
  const auto x = op.numbers("x");
  const ValueId id = op.result({op.type("x").dtype, folding.result});
  const auto out = op.compiler().make(id);
  const auto count = static_cast<Number>(count_of(folding.folded));
  op.compiler().add([=](Frame& f) {
    const float* from = x->reals(f);
    float* to = out->reals_out(f);
    for_each_offset(folding.kept, folding.kept_strides, 0, [&](std::int64_t base) {
      Number sum = start;
      if (whole != nullptr && folding.folded_strides == Shape{1})
        sum = static_cast<Number>(whole(from + base, folding.folded[0]));
      else
        for_each_offset(folding.folded, folding.folded_strides, base,
                        [&](std::int64_t at) { sum = step(sum, static_cast<Number>(from[at])); });
      *to++ = static_cast<float>(finish(sum, count));
    });
  });
  op.compiler().round_result(id);
}

constexpr auto kSum = [](double a, double b) { return a + b; };
constexpr auto kSquares = [](double a, double b) { return a + b * b; };
constexpr auto kAsIs = [](auto sum, auto) { return sum; };

void add_mean(Op& op) {
  add_fold(
      op, 0.0, kSum, [](double sum, double n) { return sum / n; }, kernels::sum);
}
void add_sum(Op& op) { add_fold(op, 0.0, kSum, kAsIs, kernels::sum); }
void add_sum_square(Op& op) { add_fold(op, 0.0, kSquares, kAsIs, kernels::sum_of_squares); }
void add_norm(Op& op) {
  add_fold(
      op, 0.0, kSquares, [](double sum, double) { return std::sqrt(sum); }, kernels::sum_of_squares);
}
void add_max(Op& op) {
  add_fold(
      op, -std::numeric_limits<float>::infinity(), [](float a, float b) { return std::max(a, b); }, kAsIs);
}
void add_min(Op& op) {
  add_fold(
      op, std::numeric_limits<float>::infinity(), [](float a, float b) { return std::min(a, b); }, kAsIs);
}

/// Of `n` numbers, `stride` apart.
void softmax(const float* from, float* to, std::int64_t n, std::int64_t stride) {
  float top = -std::numeric_limits<float>::infinity();
  for (std::int64_t k = 0; k < n; ++k) top = std::max(top, from[k * stride]);
  double sum = 0;
  for (std::int64_t k = 0; k < n; ++k) sum += to[k * stride] = std::exp(from[k * stride] - top);
  const auto scale = static_cast<float>(1 / sum);
  for (std::int64_t k = 0; k < n; ++k) to[k * stride] *= scale;
}

void add_softmax(Op& op) {
  op.only({"x", "axis"});
  op.need_results(1);
  op.need_real("x");
  const Shape& shape = op.shape("x");
  const std::size_t axis = op.axis("axis", -1, shape.size());
  const std::int64_t inner = count_of(std::span(shape).subspan(axis + 1)), n = shape[axis],
                     outer = count_of(std::span(shape).first(axis));
  const auto x = op.numbers("x");
  const ValueId id = op.result(op.type("x"));
  const auto out = op.compiler().make(id);
  op.compiler().add([=](Frame& f) {
    const float* from = x->reals(f);
    float* to = out->reals_out(f);
    for (std::int64_t o = 0; o < outer; ++o, from += n * inner, to += n * inner) {
      if (inner == 1) kernels::softmax(from, 1, nullptr, n, to);
      else
        for (std::int64_t i = 0; i < inner; ++i) softmax(from + i, to + i, n, inner);
    }
  });
  op.compiler().round_result(id);
}

/// One running sum along an axis.
void add_cumsum(Op& op) {
  op.only({"x", "axis", "exclusive", "reverse"});
  op.need_results(1);
  op.need_real("x");
  const Shape& shape = op.shape("x");
  const std::size_t axis = op.axis("axis", 0, shape.size());
  const auto flag = [&](const char* name) { return op.has(name) && op.flags(name, 1)[0]; };
  const bool exclusive = flag("exclusive"), reverse = flag("reverse");
  const std::int64_t inner = count_of(std::span(shape).subspan(axis + 1)), n = shape[axis],
                     count = op.type("x").count();
  const auto x = op.numbers("x");
  const ValueId id = op.result(op.type("x"));
  const auto out = op.compiler().make(id);
  op.compiler().add([=](Frame& f) {
    const std::int64_t step = reverse ? -inner : inner;
    for (std::int64_t o = 0; o < count; o += n * inner)
      for (std::int64_t i = 0; i < inner; ++i) {
        double sum = 0;
        std::int64_t at = o + i + (reverse ? (n - 1) * inner : 0);
        for (std::int64_t k = 0; k < n; ++k, at += step) {
          const double before = sum;
          sum += x->reals(f)[at];
          out->reals_out(f)[at] = static_cast<float>(exclusive ? before : sum);
        }
      }
  });
  op.compiler().round_result(id);
}

constexpr NamedOp kOps[] = {
    {"reduce_mean", add_mean},    {"reduce_sum", add_sum}, {"reduce_sum_square", add_sum_square},
    {"reduce_l2_norm", add_norm}, {"reduce_max", add_max}, {"reduce_min", add_min},
    {"softmax", add_softmax},     {"cumsum", add_cumsum},
};

}  // namespace

std::span<const NamedOp> reduction_ops() { return kOps; }

}  // namespace d2c::mil_cpu
