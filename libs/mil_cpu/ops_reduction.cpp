// Ops that fold axes: reductions, softmax, norms.
#include "libs/mil_cpu/ops.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace d2c::mil_cpu {
namespace {

/// Axes to fold are moved last; the tensor becomes [kept, folded].
struct Folding {
  Shape result;          ///< with keep_dims applied
  Shape kept, kept_strides, folded, folded_strides;
  std::int64_t folded_count = 1;
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
    if (folds[a]) {
      if (keep) f.result.push_back(1);
      f.folded.push_back(x[a]);
      f.folded_strides.push_back(strides[a]);
      f.folded_count *= x[a];
    } else {
      f.result.push_back(x[a]);
      f.kept.push_back(x[a]);
      f.kept_strides.push_back(strides[a]);
    }
  }
  return f;
}

std::vector<std::int64_t> offsets(const Shape& extents, const Shape& strides) {
  std::vector<std::int64_t> out{0};
  for (std::size_t a = 0; a < extents.size(); ++a) {
    std::vector<std::int64_t> next;
    for (const std::int64_t base : out)
      for (std::int64_t i = 0; i < extents[a]; ++i) next.push_back(base + i * strides[a]);
    out = std::move(next);
  }
  return out;
}

/// `start` and `step` fold in double for sums, so that the order of additions does not show; `finish` sees the count.
template <class Number, class Step, class Finish>
void add_fold(Op& op, Number start, Step step, Finish finish) {
  op.only({"x", "axes", "keep_dims"});
  op.need_results(1);
  op.need_real("x");
  const Folding fold_of = fold(op);
  if (fold_of.folded_count == 0) op.fail("folds nothing");
  const auto x = op.numbers("x");
  const ValueId id = op.result({op.type("x").dtype, fold_of.result});
  const auto out = op.compiler().make(id);
  op.compiler().add([=, kept = offsets(fold_of.kept, fold_of.kept_strides),
                     folded = offsets(fold_of.folded, fold_of.folded_strides)](Frame& f) {
    const float* from = x->reals(f);
    float* to = out->reals_out(f);
    for (std::size_t k = 0; k < kept.size(); ++k) {
      Number sum = start;
      for (const std::int64_t i : folded) sum = step(sum, static_cast<Number>(from[kept[k] + i]));
      to[k] = static_cast<float>(finish(sum, static_cast<Number>(folded.size())));
    }
  });
  op.compiler().round_result(id);
}

constexpr auto kSum = [](double a, double b) { return a + b; };
constexpr auto kSquares = [](double a, double b) { return a + b * b; };
constexpr auto kAsIs = [](auto sum, auto) { return sum; };

void add_mean(Op& op) {
  add_fold(op, 0.0, kSum, [](double sum, double n) { return sum / n; });
}
void add_sum(Op& op) { add_fold(op, 0.0, kSum, kAsIs); }
void add_sum_square(Op& op) { add_fold(op, 0.0, kSquares, kAsIs); }
void add_norm(Op& op) {
  add_fold(op, 0.0, kSquares, [](double sum, double) { return std::sqrt(sum); });
}
void add_max(Op& op) {
  add_fold(op, -std::numeric_limits<float>::infinity(), [](float a, float b) { return std::max(a, b); }, kAsIs);
}
void add_min(Op& op) {
  add_fold(op, std::numeric_limits<float>::infinity(), [](float a, float b) { return std::min(a, b); }, kAsIs);
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
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t i = 0; i < inner; ++i) {
        const float* from = x->reals(f) + o * n * inner + i;
        float* to = out->reals_out(f) + o * n * inner + i;
        float top = -std::numeric_limits<float>::infinity();
        for (std::int64_t k = 0; k < n; ++k) top = std::max(top, from[k * inner]);
        double sum = 0;
        for (std::int64_t k = 0; k < n; ++k) sum += to[k * inner] = std::exp(from[k * inner] - top);
        const auto scale = static_cast<float>(1 / sum);
        for (std::int64_t k = 0; k < n; ++k) to[k * inner] *= scale;
      }
  });
  op.compiler().round_result(id);
}

constexpr NamedOp kOps[] = {
    {"reduce_mean", add_mean},       {"reduce_sum", add_sum}, {"reduce_sum_square", add_sum_square},
    {"reduce_l2_norm", add_norm},    {"reduce_max", add_max}, {"reduce_min", add_min},
    {"softmax", add_softmax},
};

}  // namespace

std::span<const NamedOp> reduction_ops() { return kOps; }

}  // namespace d2c::mil_cpu
