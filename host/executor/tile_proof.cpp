#include "host/executor/tile_proof.hpp"

#include "libs/mil_cpu/linear.hpp"
#include "libs/mil_cpu/stored.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace d2c::host {
namespace {

/// So many elements are compared at a time: base, rounded and stored numbers then stay in the cache.
constexpr std::int64_t kProofElements = std::int64_t{1} << 13;

std::size_t to_size(std::int64_t n) { return static_cast<std::size_t>(n); }

std::int64_t rows_at_a_time(const PlannedWeight& weight) {
  return std::max<std::int64_t>(1, kProofElements / std::max<std::int64_t>(1, weight.columns()));
}

const d2c_plane* find_plane(const d2c_layout& layout, d2c_plane_role role) {
  const auto* end = layout.planes + layout.plane_count;
  const auto* it = std::find_if(layout.planes, end, [&](const d2c_plane& p) { return p.role == role; });
  return it == end ? nullptr : it;
}

/// Does a plane of tables [groups of rows, groups of columns, ...] divide the weight evenly, each tile with its own?
bool divides(const d2c_plane& plane, const PlannedWeight& weight) {
  const Shape shape = TensorType::from_c(plane.type).shape;
  if (shape.size() < 2 || shape[0] < 1 || shape[1] < 1 || weight.columns() % shape[1] != 0) return false;
  if (plane.rows_per_slice == 0) return shape[0] == 1 && weight.layout.needs_observe != 0;
  return shape[0] * plane.rows_per_slice == weight.layout.padded_rows;
}

bool is_float(DType type) { return type == DType::f16 || type == DType::f32; }

bool readable_palette(const PlannedWeight& weight) {
  const d2c_plane *indices = find_plane(weight.layout, D2C_PLANE_INDICES),
                  *lut = find_plane(weight.layout, D2C_PLANE_LUT);
  if (indices == nullptr || lut == nullptr || indices->rows_per_slice != 1 || !divides(*lut, weight)) return false;
  const TensorType index = TensorType::from_c(indices->type), table = TensorType::from_c(lut->type);
  const int bits = bits_of(index.dtype);
  return index_dtype(bits) == index.dtype && is_float(table.dtype) &&
         index.shape == Shape{weight.layout.padded_rows, weight.columns()} && table.shape.size() == 4 &&
         table.shape[2] == std::int64_t{1} << bits && table.shape[3] == 1;
}

bool readable_blocks(const PlannedWeight& weight) {
  const d2c_plane *data = find_plane(weight.layout, D2C_PLANE_DATA),
                  *scale = find_plane(weight.layout, D2C_PLANE_SCALE),
                  *offset = find_plane(weight.layout, D2C_PLANE_OFFSET);
  if (data == nullptr || scale == nullptr || data->rows_per_slice != 1 || !divides(*scale, weight)) return false;
  const Shape groups = TensorType::from_c(scale->type).shape;
  if (offset != nullptr &&
      (offset->rows_per_slice != scale->rows_per_slice || TensorType::from_c(offset->type).shape != groups))
    return false;
  return is_float(TensorType::from_c(scale->type).dtype) && groups.size() == 2 &&
         TensorType::from_c(data->type).shape == Shape{weight.layout.padded_rows, weight.columns()};
}

/// The planes of one tile as the runner reads them.
class TilePlanes {
 public:
  TilePlanes(const PlannedWeight& weight, std::int64_t rows, std::span<const void* const> planes)
      : weight_(weight), rows_(rows), planes_(planes) {}

  [[nodiscard]] mil_cpu::Stored read() const {
    mil_cpu::Stored s;
    const bool palette = weight_.layout.scheme == D2C_SCHEME_PALETTE;
    const d2c_plane_role data = palette ? D2C_PLANE_INDICES : D2C_PLANE_DATA,
                         tables = palette ? D2C_PLANE_LUT : D2C_PLANE_SCALE;
    s.form = palette ? mil_cpu::Stored::Form::palette : mil_cpu::Stored::Form::blockwise;
    s.data_type = type_in_tile(*find_plane(weight_.layout, data));
    s.data = bytes(data, s.data_type);
    s.groups = type_in_tile(*find_plane(weight_.layout, tables)).shape;
    s.groups.resize(2);
    s.table = numbers(tables);
    s.type = {TensorType::from_c(find_plane(weight_.layout, tables)->type).dtype, s.data_type.shape};
    if (!palette && find_plane(weight_.layout, D2C_PLANE_OFFSET) != nullptr) s.offsets = numbers(D2C_PLANE_OFFSET);
    return s;
  }

 private:
  [[nodiscard]] TensorType type_in_tile(const d2c_plane& plane) const {
    TensorType type = TensorType::from_c(plane.type);
    if (plane.rows_per_slice != 0) type.shape[0] = rows_ / plane.rows_per_slice;
    return type;
  }

  [[nodiscard]] std::span<const std::byte> bytes(d2c_plane_role role, const TensorType& type) const {
    const std::ptrdiff_t index = find_plane(weight_.layout, role) - weight_.layout.planes;
    return {static_cast<const std::byte*>(planes_[to_size(index)]), to_size(type.bytes())};
  }

  [[nodiscard]] std::vector<float> numbers(d2c_plane_role role) const {
    mil_cpu::Stored dense;
    dense.type = dense.data_type = type_in_tile(*find_plane(weight_.layout, role));
    dense.data = bytes(role, dense.type);
    return mil_cpu::reals(dense);
  }

  const PlannedWeight& weight_;
  std::int64_t rows_;
  std::span<const void* const> planes_;
};

/// Rows of a tile as what was stored of them stands for.
class StoredRows {
 public:
  explicit StoredRows(mil_cpu::Stored stored) : stored_(std::move(stored)) {
    if (const auto matrix = mil_cpu::stored_matrix(stored_)) kernel_.emplace(*matrix, false);
  }

  void expand(std::int64_t first, std::int64_t count, float* out) const {
    if (kernel_) kernel_->expand(first, count, 0, stored_.type.shape[1], out);
    else mil_cpu::expand_rows(stored_, first, count, out);
  }

 private:
  mil_cpu::Stored stored_;
  std::optional<kernels::WeightRows> kernel_;
};

}  // namespace

bool can_prove(const PlannedWeight& weight) {
  if (weight.merged == nullptr || weight.part != D2C_PART_FULL) return false;
  if (weight.dense()) return true;
  return weight.layout.scheme == D2C_SCHEME_PALETTE ? readable_palette(weight) : readable_blocks(weight);
}

MergeProof prove_tile(const WeightStream& stream, const PlannedWeight& weight, const Tiling& tiling, std::int64_t tile,
                      const Scratch& scratch, std::span<const void* const> planes) {
  const std::int64_t columns = tiling.columns(), rows = tiling.real_rows(tile), step = rows_at_a_time(weight);
  const bool halves = weight.layout.input_dtype == D2C_F16;
  std::optional<StoredRows> quantized;
  if (!weight.dense()) quantized.emplace(TilePlanes(weight, tiling.rows(tile), planes).read());
  std::vector<float> base(to_size(std::min(step, rows) * columns)), rounded(halves ? base.size() : 0),
      stored(weight.dense() ? 0 : base.size());
  MergeProof sum;
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = std::min(step, rows - first);
    const std::size_t elements = to_size(count * columns);
    const float* merged = scratch.floats.data() + first * columns;
    stream.base(tiling.first_row(tile) + first, count, base.data());
    if (halves) numeric::to_float(DType::f16, scratch.halves.data() + first * columns, elements, rounded.data());
    if (quantized) quantized->expand(first, count, stored.data());
    const float* given = halves ? rounded.data() : merged;
    sum += prove_merge(base.data(), merged, given, weight.dense() ? given : stored.data(), elements);
  }
  return sum;
}

std::uint64_t proof_bytes(const PlannedWeight& weight) {
  if (!can_prove(weight)) return 0;
  constexpr std::uint64_t kBuffers = 3;
  const std::int64_t rows = std::min(rows_at_a_time(weight), weight.rows());
  return kBuffers * sizeof(float) * static_cast<std::uint64_t>(rows * weight.columns());
}

}  // namespace d2c::host
