#include "libs/mil_cpu/linear.hpp"

#include "libs/mil_cpu/stored.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <cmath>

namespace d2c::mil_cpu {
namespace {

/// Rows that one task expands at a time when there are many rows of x, and the columns of a step: both operands of a step
/// then stay in the second-level cache.
constexpr std::int64_t kTileRows = 48;
constexpr std::int64_t kTileColumns = kernels::kOrderBlock;
/// Weights of a task that expands in registers: long against the cost of taking a task.
constexpr std::int64_t kTaskWeights = 32768;

std::int64_t padded_rows(std::int64_t m) {
  const std::int64_t panel = kernels::panel_size();
  return (m + panel - 1) / panel * panel;
}

/// Rows of a task that reads about `weights` of them.
std::int64_t rows_of_task(std::int64_t weights, std::int64_t columns) {
  return std::max<std::int64_t>(16, weights / std::max<std::int64_t>(columns, 1) / 16 * 16);
}

/// Can the rows be expanded in registers? 4 bits, fp16 entries, whole rows sharing a palette.
bool is_packed(const Stored& w) {
  return w.form == Stored::Form::palette && w.data_type.dtype == DType::u4 && w.type.dtype == DType::f16 &&
         w.groups[1] == 1 && w.type.shape[1] % 2 == 0 &&
         std::ranges::all_of(w.table, [](float v) { return half_to_float(float_to_half(v)) == v; });
}

}  // namespace

Linear::Linear(std::shared_ptr<const Stored> weight, bool fast)
    : weight_(std::move(weight)),
      rows_(weight_->type.shape[0]),
      columns_(weight_->type.shape[1]),
      packed_(is_packed(*weight_)) {
  if (!packed_) return;
  for (const float v : weight_->table) tables_.push_back(float_to_half(v));
  palette_ = {reinterpret_cast<const std::uint8_t*>(weight_->data.data()), tables_.data(), columns_,
              rows_ / weight_->groups[0]};
  if (!fast) return;
  for (std::size_t g = 0; g < weight_->table.size(); g += 16) {
    float top = 0;
    for (std::size_t i = g; i < g + 16; ++i) top = std::max(top, std::abs(weight_->table[i]));
    const float scale = top > 0 ? top / 127 : 1;
    scales8_.push_back(scale);
    for (std::size_t i = g; i < g + 16; ++i)
      tables8_.push_back(static_cast<std::int8_t>(std::lround(weight_->table[i] / scale)));
  }
}

std::int64_t Linear::tile_columns() const noexcept { return packed_ ? std::min(kTileColumns, columns_) : columns_; }

std::size_t Linear::scratch_bytes(std::int64_t m, unsigned threads) const {
  if (packed_ && m <= kernels::kMaxFewRows)
    return tables8_.empty() ? static_cast<std::size_t>(m * columns_) * sizeof(float)
                            : static_cast<std::size_t>(m) * kernels::quantized_bytes(columns_);
  const std::int64_t padded = padded_rows(m);
  const std::int64_t tiles = static_cast<std::int64_t>(threads) * kTileRows * (tile_columns() + padded);
  return static_cast<std::size_t>((padded * columns_ + 15) / 16 * 16 + tiles) * sizeof(float);
}

void Linear::apply(kernels::ThreadPool& pool, const float* x, std::int64_t m, const float* bias, float* y,
                   std::byte* scratch) const {
  auto* floats = reinterpret_cast<float*>(scratch);
  if (!packed_ || m > kernels::kMaxFewRows) {
    apply_many(pool, x, m, y, floats);
  } else if (!tables8_.empty()) {
    apply_fast(pool, x, m, y, scratch);
  } else {
    kernels::reorder(x, m, columns_, floats);
    apply_few(pool, floats, m, y);
  }
  if (bias == nullptr) return;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t r = 0; r < rows_; ++r) y[i * rows_ + r] += bias[r];
}

void Linear::apply_few(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y) const {
  const std::int64_t step = rows_of_task(kTaskWeights, columns_);
  pool.run((rows_ + step - 1) / step, [&](std::int64_t task, unsigned) {
    const std::int64_t first = task * step;
    kernels::multiply_rows(palette_, first, std::min(step, rows_ - first), x, m, y + first, rows_);
  });
}

void Linear::apply_fast(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, std::byte* scratch) const {
  const std::size_t bytes = kernels::quantized_bytes(columns_);
  for (std::int64_t i = 0; i < m; ++i)
    kernels::quantize(x + i * columns_, columns_, scratch + static_cast<std::size_t>(i) * bytes);
  const std::int64_t step = rows_of_task(2 * kTaskWeights, columns_);
  pool.run((rows_ + step - 1) / step, [&](std::int64_t task, unsigned) {
    const std::int64_t first = task * step, count = std::min(step, rows_ - first);
    for (std::int64_t i = 0; i < m; ++i)
      kernels::multiply_rows_fast(palette_, tables8_.data(), scales8_.data(), first, count,
                                  scratch + static_cast<std::size_t>(i) * bytes, y + i * rows_ + first);
  });
}

void Linear::apply_many(kernels::ThreadPool& pool, const float* x, std::int64_t m, float* y, float* memory) const {
  const std::int64_t panel = kernels::panel_size(), padded = padded_rows(m);
  pool.run(padded / panel, [&](std::int64_t p, unsigned) {
    kernels::pack_panel(x + p * panel * columns_, std::min(panel, m - p * panel), columns_, packed_,
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
      if (packed_) kernels::expand_rows(palette_, first, count, c, c + width, tile);
      else expand_rows(*weight_, first, count, tile);
      kernels::add_products(memory, m, columns_, c, tile, count, width, sums);
    }
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t r = 0; r < count; ++r) y[i * rows_ + first + r] = sums[r * padded + i];
  });
}

}  // namespace d2c::mil_cpu
