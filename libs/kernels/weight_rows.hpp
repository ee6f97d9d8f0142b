// Products with rows of weights that stay compressed, expanded in registers.
//
// Everything here is thread-safe and deterministic on one machine; the order of additions differs between machines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace d2c::kernels {

/// A matrix of weights as a package stores it: elements row after row, least significant bit first, nothing aligned.
/// A view: what the spans point to outlives its users.
struct StoredMatrix {
  enum class Scheme { floats, halves, palette, integers };

  Scheme scheme = Scheme::floats;
  int bits = 32;           ///< of an element; palette: 1, 2, 3, 4, 6 or 8, integers: 4 or 8
  bool is_signed = false;  ///< integers
  std::span<const std::byte> data = {};
  std::int64_t rows = 0, columns = 0;
  std::int64_t row_groups = 1, column_groups = 1;  ///< palette, integers: each divides its extent
  std::span<const float> tables =
      {};  ///< palette: [row_groups, column_groups, 2^bits]; integers: scales, one per group
  std::span<const float> offsets =
      {};                       ///< integers: as many, or none; an element stands for scale * (element - offset)
  bool rounds_to_half = false;  ///< integers: and that rounded to fp16
};

/// Such a matrix with its palettes in the form that registers look up.
class WeightRows {
 public:
  /// Does every group of every row begin with a byte? Others are not for this class.
  [[nodiscard]] static bool serves(const StoredMatrix& matrix) noexcept;

  /// `fast`: palettes are rounded to 8 bits where that makes products faster, and so is what they are multiplied with.
  WeightRows(const StoredMatrix& matrix, bool fast);

  /// What multiply() takes is a row of x brought into another form: bytes of it, 0 where x serves as it is.
  [[nodiscard]] std::size_t prepared_bytes() const noexcept;
  /// `out` holds prepared_bytes(), aligned to 64.
  void prepare(const float* x, std::byte* out) const;
  /// y[r] = row (first + r) times x, for r < count. `x`: as it is, or as prepare() left it.
  void multiply(std::int64_t first, std::int64_t count, const void* x, float* y) const;

  /// Columns [begin, end) of `count` rows as floats: out [count, end - begin]. `begin` is a multiple of 8.
  void expand(std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end, float* out) const;

  /// What the kernels work on.
  struct View {
    static constexpr std::int64_t kBlock = 64;  ///< columns that share a scale of x, and that stand in pairs

    StoredMatrix m;
    std::int64_t group_rows = 1, group_columns = 1;
    std::int64_t entries = 0;             ///< of a palette as it lies in planes and tables8: at least 16
    int planes = 0;                       ///< bytes of an entry: 2 where fp16 holds all of them, else 4
    const std::uint8_t* bytes = nullptr;  ///< [groups, planes, entries]: the first byte of every entry, then the second
    const std::int8_t* tables8 = nullptr;  ///< [groups, entries]; null: exact products
    const float* scales8 = nullptr;        ///< [groups]
    bool pairs = false;                    ///< 4 bits: both halves of many bytes at once, even columns and odd columns

    [[nodiscard]] std::size_t blocks() const noexcept {
      return static_cast<std::size_t>((m.columns + kBlock - 1) / kBlock);
    }
    /// x rounded to 8 bits is scales, filled up to so many bytes, and then blocks.
    [[nodiscard]] std::size_t scale_bytes() const noexcept { return (blocks() * sizeof(float) + 63) / 64 * 64; }
  };

 private:
  void split_tables();
  void round_tables();

  View view_;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::int8_t> tables8_;
  std::vector<float> scales8_;
};

/// Products of many rows of x work on panels of this many, the last one filled up with zeros.
[[nodiscard]] std::int64_t panel_size();
/// `count` <= panel_size() rows x [count, columns] for add_products(): out [columns, panel_size()].
void pack_panel(const float* x, std::int64_t count, std::int64_t columns, float* out);
/// sums[r, i] += sum over c of w[r, c] * x[i, begin + c] for r < rows, c < columns, and all rows i of the panels that m rows
/// make. x: those panels, each of `x_columns` columns; w [rows, columns]; sums [rows, panels * panel_size()].
void add_products(const float* x, std::int64_t m, std::int64_t x_columns, std::int64_t begin, const float* w,
                  std::int64_t rows, std::int64_t columns, float* sums);

}  // namespace d2c::kernels
