// x * W^T with a weight that stays compressed.
#pragma once

#include "libs/kernels/thread_pool.hpp"
#include "libs/mil_cpu/program.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace d2c::mil_cpu {

class Linear {
 public:
  /// `weight` is [rows, columns]. `fast`: 8-bit activations where the weight is a palette.
  Linear(std::shared_ptr<const Stored> weight, bool fast);

  [[nodiscard]] std::size_t scratch_bytes(std::int64_t m, unsigned threads) const;

  /// y [m, rows] = x [m, columns] * weight^T + bias (null: none).
  void apply(kernels::ThreadPool& pool, const float* x, std::int64_t m, const float* bias, float* y,
             std::byte* scratch) const;

 private:
  std::shared_ptr<const Stored> weight_;
  std::int64_t rows_, columns_;
};

}  // namespace d2c::mil_cpu
