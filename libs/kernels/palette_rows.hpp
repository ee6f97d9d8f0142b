// Products with rows of 4-bit palette indices, expanded in registers, and with rows that are floats already.
//
// The expansion yields columns in an order that suits the machine's shuffles. Whoever multiplies brings the other operand
// into that order once (`reorder`); sums then run over the same pairs. Everything here is thread-safe and deterministic on
// one machine; the order of additions differs between machines.
#pragma once

#include <cstddef>
#include <cstdint>

namespace d2c::kernels {

/// Rows of a matrix of 4-bit palette indices, two to a byte, the lower half first. `columns` is even.
struct PaletteRows {
  const std::uint8_t* indices = nullptr;  ///< [rows, columns / 2]
  const std::uint16_t* tables = nullptr;  ///< fp16 [groups, 16]
  std::int64_t columns = 0;
  std::int64_t group_rows = 0;  ///< rows that share a table
};

/// Brings m rows of `columns` floats into the order of the expansion.
void reorder(const float* x, std::int64_t m, std::int64_t columns, float* out);

/// The most rows of x that multiply_rows() takes.
inline constexpr std::int64_t kMaxFewRows = 4;

/// y[i * stride + r] = row (first + r) times x[i], for r < count, i < m <= kMaxFewRows; x reordered.
void multiply_rows(const PaletteRows& w, std::int64_t first, std::int64_t count, const float* x, std::int64_t m,
                   float* y, std::int64_t stride);

/// Columns [begin, end) of the rows as floats, in the order of the expansion: out [count, end - begin]. `begin` is a multiple
/// of kOrderBlock, and so is `end` unless it is the last column.
inline constexpr std::int64_t kOrderBlock = 256;
void expand_rows(const PaletteRows& w, std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end,
                 float* out);

/// Products of many rows of x work on panels of this many, the last one filled up with zeros.
[[nodiscard]] std::int64_t panel_size();
/// `count` <= panel_size() rows x [count, columns], columns in the order of the expansion or as they are, for add_products():
/// out [columns, panel_size()].
void pack_panel(const float* x, std::int64_t count, std::int64_t columns, bool reordered, float* out);
/// sums[r, i] += sum over c of w[r, c] * x[i, begin + c] for r < rows, c < columns, and all rows i of the panels that m rows
/// make. x: those panels, each of `x_columns` columns; w [rows, columns]; sums [rows, panels * panel_size()].
void add_products(const float* x, std::int64_t m, std::int64_t x_columns, std::int64_t begin, const float* w,
                  std::int64_t rows, std::int64_t columns, float* sums);

/// The approximate product: x rounded to 8 bits by blocks, palettes to 8 bits each.
[[nodiscard]] std::size_t quantized_bytes(std::int64_t columns);
/// x [columns], not reordered, to `out` of quantized_bytes(columns), aligned to 64.
void quantize(const float* x, std::int64_t columns, std::byte* out);
/// `tables8`: [groups, 16] int8, `scales`: [groups]. y[r] for one row of x.
void multiply_rows_fast(const PaletteRows& w, const std::int8_t* tables8, const float* scales, std::int64_t first,
                        std::int64_t count, const std::byte* x, float* y);

}  // namespace d2c::kernels
