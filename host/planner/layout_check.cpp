#include "host/planner/layout_check.hpp"

namespace d2c::host {

DType expanded_dtype(const d2c_layout& layout) {
  for (std::uint32_t p = 0; p < layout.plane_count; ++p) {
    const d2c_plane_role role = layout.planes[p].role;
    if (role == D2C_PLANE_DENSE || role == D2C_PLANE_LUT || role == D2C_PLANE_SCALE)
      return static_cast<DType>(layout.planes[p].type.dtype);
  }
  return DType::none;
}

void check_layout(const d2c_layout& layout, const std::string& tensor, const Shape& shape, const std::string& plugin) {
  const auto refuse = [&](const std::string& what) {
    fail(Code::plugin, plugin + ": the layout planned for '" + tensor + "' " + to_string(shape) + " " + what);
  };
  if (layout.plane_count == 0 || layout.plane_count > D2C_MAX_PLANES) refuse("has no or too many planes");
  if (layout.padded_rows < rows_of(shape)) refuse("holds fewer rows than the weight");
  if (layout.tile_rows < 1) refuse("has no tile size");
  if (layout.input_dtype != D2C_F16 && layout.input_dtype != D2C_F32) refuse("wants tiles of neither fp16 nor fp32");
  const DType expanded = expanded_dtype(layout);
  if (expanded != DType::f16 && expanded != DType::f32) refuse("does not expand to fp16 or fp32");
  for (std::uint32_t p = 0; p < layout.plane_count; ++p) {
    const d2c_plane& plane = layout.planes[p];
    const TensorType type = TensorType::from_c(plane.type);
    if (bits_of(type.dtype) == 0) refuse("has a plane without an element type");
    if (plane.rows_per_slice < 0 || (plane.rows_per_slice > 0 && layout.tile_rows % plane.rows_per_slice != 0))
      refuse("has a plane whose slices do not fit its tiles");
    if (plane.rows_per_slice == 0) continue;
    if (rows_of(type.shape) * plane.rows_per_slice != layout.padded_rows)
      refuse("has a plane that does not cover its rows");
    const std::int64_t tile_bits =
        layout.tile_rows / plane.rows_per_slice * columns_of(type.shape) * bits_of(type.dtype);
    if (tile_bits % 8 != 0) refuse("has tiles that end inside a byte");
  }
}

}  // namespace d2c::host
