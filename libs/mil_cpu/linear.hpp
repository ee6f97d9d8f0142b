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

/// A weight [rows, columns] as the kernels see it, a view of `stored`; nothing where they have none for it.
[[nodiscard]] std::optional<kernels::StoredMatrix> stored_matrix(const Stored& stored);

/// Thread-safe.
class Linear {
 public:
  /// `weight` is [rows, columns]. `fast`: 8-bit activations where the weight is a palette.
  Linear(std::shared_ptr<const Stored> weight, bool fast);

  [[nodiscard]] std::size_t scratch_bytes(std::int64_t m, unsigned threads) const;

  /// y [m, rows] = x [m, columns] * weight^T + bias (null: none). `scratch` is aligned to 64.
  void apply(kernels::ThreadPool& pool, const float* x, std::int64_t m, const float* bias, float* y,
             std::byte* scratch) const;

 private:
  Linear(std::shared_ptr<const Stored> weight, const std::optional<kernels::StoredMatrix>& matrix, bool fast);

  void apply_few(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, std::byte* memory) const;
  void apply_many(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, std::byte* memory) const;
  template <class Body>
  void with_rows(std::int64_t first, std::int64_t count, std::byte* memory, Body&& body) const;

  /// Bytes of a row of x as the weight's kernel takes it.
  [[nodiscard]] std::size_t prepared_bytes() const noexcept;
  /// Bytes of so many rows of the weight where they are expanded before they are multiplied.
  [[nodiscard]] std::size_t expanded_bytes(std::int64_t rows) const noexcept;
  [[nodiscard]] std::int64_t panels(std::int64_t m) const;
  /// What a task of apply_many() works in.
  [[nodiscard]] std::size_t task_bytes(std::int64_t m) const;

  std::shared_ptr<const Stored> weight_;
  std::int64_t rows_, columns_;
  bool expands_;              ///< no kernel reads the weight as it is stored: rows are expanded into memory first
  kernels::WeightRows form_;  ///< the weight, or an empty matrix of its columns that says how x is to be packed
};

}  // namespace d2c::mil_cpu
