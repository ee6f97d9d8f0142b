// x * W^T with a weight that stays compressed.
#pragma once

#include "libs/kernels/palette_rows.hpp"
#include "libs/kernels/thread_pool.hpp"
#include "libs/mil_cpu/program.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace d2c::mil_cpu {

/// Thread-safe.
class Linear {
 public:
  /// `weight` is [rows, columns]. `fast`: 8-bit activations where the weight is a 4-bit palette.
  Linear(std::shared_ptr<const Stored> weight, bool fast);

  [[nodiscard]] std::size_t scratch_bytes(std::int64_t m, unsigned threads) const;

  /// y [m, rows] = x [m, columns] * weight^T + bias (null: none). `scratch` is aligned to 64.
  void apply(kernels::ThreadPool& pool, const float* x, std::int64_t m, const float* bias, float* y,
             std::byte* scratch) const;

 private:
  void apply_few(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y) const;
  void apply_fast(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, std::byte* scratch) const;
  void apply_many(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, float* memory) const;
  [[nodiscard]] std::int64_t tile_columns() const noexcept;

  std::shared_ptr<const Stored> weight_;
  std::int64_t rows_, columns_;
  bool packed_ = false;                ///< 4-bit palette: expanded in registers
  std::vector<std::uint16_t> tables_;  ///< packed: fp16 [groups, 16]
  std::vector<std::int8_t> tables8_;   ///< packed and fast
  std::vector<float> scales8_;
  kernels::PaletteRows palette_;
};

}  // namespace d2c::mil_cpu
