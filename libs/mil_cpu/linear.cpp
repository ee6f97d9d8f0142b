#include "libs/mil_cpu/linear.hpp"

#include "libs/mil_cpu/stored.hpp"

#include <Eigen/Core>

#include <algorithm>

namespace d2c::mil_cpu {
namespace {

constexpr std::int64_t kTileRows = 16;

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

Linear::Linear(std::shared_ptr<const Stored> weight, bool)
    : weight_(std::move(weight)), rows_(weight_->type.shape[0]), columns_(weight_->type.shape[1]) {}

std::size_t Linear::scratch_bytes(std::int64_t, unsigned threads) const {
  return threads * static_cast<std::size_t>(kTileRows * columns_) * sizeof(float);
}

void Linear::apply(kernels::ThreadPool& pool, const float* x, std::int64_t m, const float* bias, float* y,
                   std::byte* scratch) const {
  pool.run((rows_ + kTileRows - 1) / kTileRows, [&](std::int64_t tile, unsigned worker) {
    const std::int64_t first = tile * kTileRows, count = std::min(kTileRows, rows_ - first);
    float* expanded = reinterpret_cast<float*>(scratch) + worker * kTileRows * columns_;
    expand_rows(*weight_, first, count, expanded);
    Eigen::Map<Matrix, 0, Eigen::OuterStride<>> out(y + first, m, count, Eigen::OuterStride<>(rows_));
    out.noalias() = Eigen::Map<const Matrix>(x, m, columns_) * Eigen::Map<const Matrix>(expanded, count, columns_).transpose();
    if (bias != nullptr) out.rowwise() += Eigen::Map<const Eigen::RowVectorXf>(bias + first, count);
  });
}

}  // namespace d2c::mil_cpu
