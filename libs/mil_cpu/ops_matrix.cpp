// Matrix products.
#include "libs/mil_cpu/linear.hpp"
#include "libs/mil_cpu/ops.hpp"

#include <Eigen/Core>

#include <algorithm>

namespace d2c::mil_cpu {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstMap = Eigen::Map<const Matrix>;

void add_linear(Op& op) {
  op.only({"x", "weight", "bias"});
  op.need_results(1);
  op.need_real("x");
  op.need_real("weight");
  const TensorType &x = op.type("x"), &weight = op.type("weight");
  if (x.shape.empty() || weight.shape.size() != 2 || x.shape.back() != weight.shape[1] ||
      op.tensor("weight").stored == nullptr)
    op.fail("a weight " + weight.text() + " does not serve x " + x.text());
  std::shared_ptr<const Place> bias;
  if (op.has("bias")) {
    if (op.type("bias").shape != Shape{weight.shape[0]} || !is_real(op.type("bias").dtype) ||
        op.tensor("bias").stored == nullptr)
      op.fail("bias is " + op.type("bias").text());
    bias = op.numbers("bias");
  }
  TensorType type = x;
  type.shape.back() = weight.shape[0];
  const auto from = op.numbers("x");
  const std::int64_t rows = x.count() / x.shape.back();
  const auto linear =
      std::make_shared<const Linear>(op.tensor("weight").stored, op.compiler().options().precision == Precision::fast);
  const auto scratch = op.compiler().scratch(linear->scratch_bytes(rows, op.compiler().options().threads));
  const ValueId id = op.result(type);
  const auto out = op.compiler().make(id);
  op.compiler().add([=](Frame& f) {
    linear->apply(*f.pool, from->reals(f), rows, bias ? bias->reals(f) : nullptr, out->reals_out(f),
                  f.arena + scratch->offset);
  });
  op.compiler().round_result(id);
}

void multiply(const float* x, const float* y, std::int64_t m, std::int64_t k, std::int64_t n, bool tx, bool ty,
              float* out) {
  Eigen::Map<Matrix> z(out, m, n);
  if (tx && ty) z.noalias() = ConstMap(x, k, m).transpose() * ConstMap(y, n, k).transpose();
  else if (tx) z.noalias() = ConstMap(x, k, m).transpose() * ConstMap(y, k, n);
  else if (ty) z.noalias() = ConstMap(x, m, k) * ConstMap(y, n, k).transpose();
  else z.noalias() = ConstMap(x, m, k) * ConstMap(y, k, n);
}

void add_matmul(Op& op) {
  op.only({"x", "y", "transpose_x", "transpose_y"});
  op.need_results(1);
  op.need_real("x");
  const TensorType &x = op.type("x"), &y = op.type("y");
  const std::size_t rx = x.shape.size(), ry = y.shape.size();
  const auto flag = [&](const char* name) { return op.has(name) && op.flags(name, 1)[0]; };
  const bool tx = flag("transpose_x"), ty = flag("transpose_y");
  if (x.dtype != y.dtype || rx < 2 || ry < 2) op.fail("does not multiply " + x.text() + " and " + y.text());
  const std::int64_t m = x.shape[rx - (tx ? 1 : 2)], k = x.shape[rx - (tx ? 2 : 1)], n = y.shape[ry - (ty ? 2 : 1)];
  if (y.shape[ry - (ty ? 1 : 2)] != k) op.fail("does not multiply " + x.text() + " and " + y.text());
  const Shape bx(x.shape.begin(), x.shape.end() - 2), by(y.shape.begin(), y.shape.end() - 2);
  Shape shape = broadcast(op, bx, by);
  const BroadcastIndex at_x(bx, shape), at_y(by, shape);
  const std::int64_t batch = count_of(shape);
  shape.insert(shape.end(), {m, n});
  const auto left = op.numbers("x"), right = op.numbers("y");
  const ValueId id = op.result({x.dtype, shape});
  const auto out = op.compiler().make(id);
  op.compiler().add([=](Frame& f) {
    for (std::int64_t b = 0; b < batch; ++b)
      multiply(left->reals(f) + at_x(b) * m * k, right->reals(f) + at_y(b) * k * n, m, k, n, tx, ty,
               out->reals_out(f) + b * m * n);
  });
  op.compiler().round_result(id);
}

constexpr NamedOp kOps[] = {
    {"linear", add_linear},
    {"matmul", add_matmul},
    {"scaled_dot_product_attention", add_scaled_dot_product_attention},
};

}  // namespace

std::span<const NamedOp> matrix_ops() { return kOps; }

}  // namespace d2c::mil_cpu
