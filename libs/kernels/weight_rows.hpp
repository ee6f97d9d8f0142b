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

  /// `fast`: where that makes products faster, palettes are rounded to integers, and so is what they are multiplied with:
  /// to 8 bits for a few rows of x, to 13 for many.
  WeightRows(const StoredMatrix& matrix, bool fast);

  // A few rows of x, one after the other.

  /// What multiply() takes is a row of x brought into another form: bytes of it, 0 where x serves as it is.
  [[nodiscard]] std::size_t prepared_bytes() const noexcept;
  /// `out` holds prepared_bytes(), aligned to 64.
  void prepare(const float* x, std::byte* out) const;
  /// y[r] = row (first + r) times x, for r < count. `x`: as it is, or as prepare() left it.
  void multiply(std::int64_t first, std::int64_t count, const void* x, float* y) const;

  // Many rows of x: in panels of panel_rows() of them, the last one filled up with zeros.

  [[nodiscard]] std::int64_t panel_rows() const;
  /// Of a panel: a multiple of 64.
  [[nodiscard]] std::size_t panel_bytes() const;
  /// x [count, columns], count <= panel_rows(). `out` holds panel_bytes(), aligned to 64.
  void pack_panel(const float* x, std::int64_t count, std::byte* out) const;
  /// sums[p, r, i] = row (first + r) times row i of panel p, for r < count: sums [panel_count, count, panel_rows()].
  /// count <= kTileRows. `tile` is scratch of kTileBytes, aligned to 64.
  void multiply_panels(std::int64_t first, std::int64_t count, const std::byte* panels, std::int64_t panel_count,
                       std::byte* tile, float* sums) const;
  /// Rows and columns that are expanded at a time: such a tile and as many columns of some panels stay in the second cache.
  static constexpr std::int64_t kTileRows = 48, kTileColumns = 256;
  static constexpr std::size_t kTileBytes = kTileRows * kTileColumns * sizeof(float);

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
    /// Entries as integers that stand for tops[g] / kMost of them. Null: products are exact.
    const std::int8_t* tables8 = nullptr;    ///< [groups, entries]
    const std::uint8_t* tables16 = nullptr;  ///< [groups, 2, entries]: the first byte of every entry, then the second
    const float* tops = nullptr;             ///< [groups]
    static constexpr int kMost8 = 127;
    static constexpr int kMost16 = 4095;  ///< so that 32 bits hold the sum of a block's products with as large numbers
    bool pairs = false;                   ///< 4 bits: both halves of many bytes at once, even columns and odd columns

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
  std::vector<std::uint8_t> tables16_;
  std::vector<float> tops_;
};

}  // namespace d2c::kernels
