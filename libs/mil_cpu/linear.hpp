// x * W^T with a weight that stays compressed.
#pragma once

#include "libs/kernels/thread_pool.hpp"
#include "libs/kernels/weight_rows.hpp"
#include "libs/mil_cpu/program.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace d2c::mil_cpu {

/// Thread-safe.
class Linear {
 public:
  /// `weight` is [rows, columns]. `fast`: 8-bit activations where the weight is a palette and x has few rows.
  Linear(std::shared_ptr<const Stored> weight, bool fast);

  [[nodiscard]] std::size_t scratch_bytes(std::int64_t m, unsigned threads) const;

  /// y [m, rows] = x [m, columns] * weight^T + bias (null: none). `scratch` is aligned to 64.
  void apply(kernels::ThreadPool& pool, const float* x, std::int64_t m, const float* bias, float* y,
             std::byte* scratch) const;

 private:
  void apply_few(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, std::byte* memory) const;
  void apply_many(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, float* memory) const;
  [[nodiscard]] std::int64_t tile_columns() const noexcept;
  /// Bytes of a row of x as the weight's kernel takes it.
  [[nodiscard]] std::size_t prepared_bytes() const noexcept;

  std::shared_ptr<const Stored> weight_;
  std::int64_t rows_, columns_;
  std::optional<kernels::WeightRows> compressed_;  ///< none: rows are expanded into memory first
};

}  // namespace d2c::mil_cpu
