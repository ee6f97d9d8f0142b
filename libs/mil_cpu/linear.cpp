#include "libs/mil_cpu/linear.hpp"

#include "libs/mil_cpu/stored.hpp"

#include <algorithm>
#include <span>

namespace d2c::mil_cpu {
namespace {

using kernels::StoredMatrix;
using kernels::WeightRows;
using Scheme = StoredMatrix::Scheme;

/// So few rows of x are multiplied one by one with each weight row while it is in the first-level cache.
constexpr std::int64_t kFewRows = 4;
/// Weights of a task: long against the cost of taking a task.
constexpr std::int64_t kTaskWeights = 32768;

std::int64_t task_rows(std::int64_t columns) {
  return std::max<std::int64_t>(16, kTaskWeights / std::max<std::int64_t>(columns, 1) / 16 * 16);
}

bool is_eight_bits(DType t) { return t == DType::i8 || t == DType::u8; }

}  // namespace

std::optional<StoredMatrix> stored_matrix(const Stored& s) {
  const DType dtype = s.data_type.dtype;
  StoredMatrix m{.bits = bits_of(dtype), .data = s.data, .rows = s.type.shape[0], .columns = s.type.shape[1]};
  if (s.form == Stored::Form::dense) {
    if (!is_real(dtype)) return std::nullopt;
    m.scheme = dtype == DType::f16 ? Scheme::halves : Scheme::floats;
    return m;
  }
  m.row_groups = s.groups[0];
  m.column_groups = s.groups[1];
  m.tables = s.table;
  m.scheme = Scheme::palette;
  if (s.form == Stored::Form::blockwise) {
    if (!is_eight_bits(dtype) && dtype != DType::i4 && dtype != DType::u4) return std::nullopt;
    m.scheme = Scheme::integers;
    m.is_signed = dtype == DType::i8 || dtype == DType::i4;
    m.offsets = s.offsets;
    m.rounds_to_half = s.type.dtype == DType::f16;
  }
  return WeightRows::serves(m) ? std::optional(m) : std::nullopt;
}

Linear::Linear(std::shared_ptr<const Stored> weight, bool fast) : Linear(weight, stored_matrix(*weight), fast) {}

Linear::Linear(std::shared_ptr<const Stored> weight, const std::optional<StoredMatrix>& matrix, bool fast)
    : weight_(std::move(weight)),
      rows_(weight_->type.shape[0]),
      columns_(weight_->type.shape[1]),
      expands_(!matrix),
      form_(matrix.value_or(StoredMatrix{.columns = columns_}), fast) {}

std::size_t Linear::prepared_bytes() const noexcept { return (form_.prepared_bytes() + 63) / 64 * 64; }

std::size_t Linear::expanded_bytes(std::int64_t rows) const noexcept {
  return expands_ ? (static_cast<std::size_t>(rows * columns_) * sizeof(float) + 63) / 64 * 64 : 0;
}

std::int64_t Linear::panels(std::int64_t m) const { return (m + form_.panel_rows() - 1) / form_.panel_rows(); }

std::size_t Linear::task_bytes(std::int64_t m) const {
  const std::int64_t sums = panels(m) * WeightRows::kTileRows * form_.panel_rows();
  return expanded_bytes(WeightRows::kTileRows) + WeightRows::kTileBytes +
         static_cast<std::size_t>(sums) * sizeof(float);
}

std::size_t Linear::scratch_bytes(std::int64_t m, unsigned threads) const {
  if (m <= kFewRows)
    return static_cast<std::size_t>(m) * prepared_bytes() + threads * expanded_bytes(task_rows(columns_));
  return static_cast<std::size_t>(panels(m)) * form_.panel_bytes() + threads * task_bytes(m);
}

void Linear::apply(kernels::ThreadPool& pool, const float* x, std::int64_t m, const float* bias, float* y,
                   std::byte* scratch) const {
  if (m <= kFewRows) apply_few(pool, x, m, y, scratch);
  else apply_many(pool, x, m, y, scratch);
  if (bias == nullptr) return;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t r = 0; r < rows_; ++r) y[i * rows_ + r] += bias[r];
}

/// Calls body(matrix, its row that is `first` of the weight). `memory` holds expanded_bytes(count).
template <class Body>
void Linear::with_rows(std::int64_t first, std::int64_t count, std::byte* memory, Body&& body) const {
  if (!expands_) return body(form_, first);
  const std::span tile(reinterpret_cast<float*>(memory), static_cast<std::size_t>(count * columns_));
  expand_rows(*weight_, first, count, tile.data());
  body(WeightRows({.data = std::as_bytes(tile), .rows = count, .columns = columns_}, false), 0);
}

void Linear::apply_few(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, std::byte* memory) const {
  const std::size_t prepared = prepared_bytes();
  for (std::int64_t i = 0; i < m && prepared > 0; ++i)
    form_.prepare(x + i * columns_, memory + static_cast<std::size_t>(i) * prepared);
  const auto row_of_x = [&](std::int64_t i) -> const void* {
    return prepared == 0 ? static_cast<const void*>(x + i * columns_) : memory + static_cast<std::size_t>(i) * prepared;
  };
  const std::int64_t step = task_rows(columns_);
  std::byte* expanded = memory + static_cast<std::size_t>(m) * prepared;
  pool.run((rows_ + step - 1) / step, [&](std::int64_t task, unsigned worker) {
    const std::int64_t first = task * step, count = std::min(step, rows_ - first);
    with_rows(first, count, expanded + worker * expanded_bytes(step),
              [&](const WeightRows& weights, std::int64_t from) {
                for (std::int64_t i = 0; i < m; ++i) weights.multiply(from, count, row_of_x(i), y + i * rows_ + first);
              });
  });
}

void Linear::apply_many(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, std::byte* memory) const {
  const std::int64_t width = form_.panel_rows(), panel_count = panels(m);
  pool.run(panel_count, [&](std::int64_t p, unsigned) {
    form_.pack_panel(x + p * width * columns_, std::min(width, m - p * width),
                     memory + static_cast<std::size_t>(p) * form_.panel_bytes());
  });
  std::byte* tasks = memory + static_cast<std::size_t>(panel_count) * form_.panel_bytes();
  constexpr std::int64_t kStep = WeightRows::kTileRows;
  pool.run((rows_ + kStep - 1) / kStep, [&](std::int64_t task, unsigned worker) {
    const std::int64_t first = task * kStep, count = std::min(kStep, rows_ - first);
    std::byte* expanded = tasks + worker * task_bytes(m);
    std::byte* tile = expanded + expanded_bytes(kStep);
    auto* sums = reinterpret_cast<float*>(tile + WeightRows::kTileBytes);
    with_rows(first, count, expanded, [&](const WeightRows& weights, std::int64_t from) {
      weights.multiply_panels(from, count, memory, panel_count, tile, sums);
    });
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t r = 0; r < count; ++r)
        y[i * rows_ + first + r] = sums[(i / width * count + r) * width + i % width];
  });
}

}  // namespace d2c::mil_cpu
