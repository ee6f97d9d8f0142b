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
/// Rows that one task expands at a time when there are many rows of x, and the columns of a step: both operands of a step
/// then stay in the second-level cache.
constexpr std::int64_t kTileRows = 48;
constexpr std::int64_t kTileColumns = 256;
/// Weights of a task: long against the cost of taking a task.
constexpr std::int64_t kTaskWeights = 32768;

std::int64_t padded_rows(std::int64_t m) {
  const std::int64_t panel = kernels::panel_size();
  return (m + panel - 1) / panel * panel;
}

std::int64_t task_rows(std::int64_t columns) {
  return std::max<std::int64_t>(16, kTaskWeights / std::max<std::int64_t>(columns, 1) / 16 * 16);
}

bool is_eight_bits(DType t) { return t == DType::i8 || t == DType::u8; }

/// The weight as the kernels see it; nothing where they have none for it.
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

}  // namespace

Linear::Linear(std::shared_ptr<const Stored> weight, bool fast)
    : weight_(std::move(weight)), rows_(weight_->type.shape[0]), columns_(weight_->type.shape[1]) {
  if (const auto matrix = stored_matrix(*weight_)) compressed_.emplace(*matrix, fast);
}

std::int64_t Linear::tile_columns() const noexcept { return compressed_ ? std::min(kTileColumns, columns_) : columns_; }

std::size_t Linear::prepared_bytes() const noexcept {
  return compressed_ ? (compressed_->prepared_bytes() + 63) / 64 * 64 : 0;
}

std::size_t Linear::scratch_bytes(std::int64_t m, unsigned threads) const {
  if (m <= kFewRows)
    return static_cast<std::size_t>(m) * prepared_bytes() +
           (compressed_ ? 0 : threads * static_cast<std::size_t>(task_rows(columns_) * columns_) * sizeof(float));
  const std::int64_t padded = padded_rows(m);
  const std::int64_t tiles = static_cast<std::int64_t>(threads) * kTileRows * (tile_columns() + padded);
  return static_cast<std::size_t>((padded * columns_ + 15) / 16 * 16 + tiles) * sizeof(float);
}

void Linear::apply(kernels::ThreadPool& pool, const float* x, std::int64_t m, const float* bias, float* y,
                   std::byte* scratch) const {
  if (m <= kFewRows) apply_few(pool, x, m, y, scratch);
  else apply_many(pool, x, m, y, reinterpret_cast<float*>(scratch));
  if (bias == nullptr) return;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t r = 0; r < rows_; ++r) y[i * rows_ + r] += bias[r];
}

void Linear::apply_few(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, std::byte* memory) const {
  const std::size_t prepared = prepared_bytes();
  for (std::int64_t i = 0; i < m && prepared > 0; ++i)
    compressed_->prepare(x + i * columns_, memory + static_cast<std::size_t>(i) * prepared);
  const auto row_of_x = [&](std::int64_t i) -> const void* {
    return prepared == 0 ? static_cast<const void*>(x + i * columns_) : memory + static_cast<std::size_t>(i) * prepared;
  };
  const std::int64_t step = task_rows(columns_);
  auto* tiles = reinterpret_cast<float*>(memory);
  pool.run((rows_ + step - 1) / step, [&](std::int64_t task, unsigned worker) {
    const std::int64_t first = task * step, count = std::min(step, rows_ - first);
    const auto multiply = [&](const WeightRows& weights, std::int64_t from) {
      for (std::int64_t i = 0; i < m; ++i) weights.multiply(from, count, row_of_x(i), y + i * rows_ + first);
    };
    if (compressed_) return multiply(*compressed_, first);
    const std::span tile(tiles + worker * step * columns_, static_cast<std::size_t>(count * columns_));
    expand_rows(*weight_, first, count, tile.data());
    multiply(WeightRows({.data = std::as_bytes(tile), .rows = count, .columns = columns_}, false), 0);
  });
}

void Linear::apply_many(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, float* memory) const {
  const std::int64_t panel = kernels::panel_size(), padded = padded_rows(m);
  pool.run(padded / panel, [&](std::int64_t p, unsigned) {
    kernels::pack_panel(x + p * panel * columns_, std::min(panel, m - p * panel), columns_,
                        memory + p * panel * columns_);
  });
  float* tiles = memory + (padded * columns_ + 15) / 16 * 16;
  const std::int64_t step = tile_columns();
  pool.run((rows_ + kTileRows - 1) / kTileRows, [&](std::int64_t task, unsigned worker) {
    const std::int64_t first = task * kTileRows, count = std::min(kTileRows, rows_ - first);
    float* tile = tiles + worker * kTileRows * (step + padded);
    float* sums = tile + kTileRows * step;
    std::fill_n(sums, count * padded, 0.0F);
    for (std::int64_t c = 0; c < columns_; c += step) {
      const std::int64_t width = std::min(step, columns_ - c);
      if (compressed_) compressed_->expand(first, count, c, c + width, tile);
      else expand_rows(*weight_, first, count, tile);
      kernels::add_products(memory, m, columns_, c, tile, count, width, sums);
    }
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t r = 0; r < count; ++r) y[i * rows_ + first + r] = sums[r * padded + i];
  });
}

}  // namespace d2c::mil_cpu
