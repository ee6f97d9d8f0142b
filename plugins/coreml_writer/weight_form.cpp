#include "plugins/coreml_writer/weight_form.hpp"

#include <span>

namespace d2c::coreml_writer {
namespace {

bool is_real(DType dtype) { return dtype == DType::f16 || dtype == DType::f32; }

class FormBuilder {
 public:
  explicit FormBuilder(const d2c_weight& weight)
      : weight_(weight), type_(TensorType::from_c(weight.type)), planes_(planes_of(weight)) {}

  WeightForm build() {
    switch (weight_.layout->scheme) {
      case D2C_SCHEME_DENSE: return dense();
      case D2C_SCHEME_PALETTE: return palette();
      case D2C_SCHEME_BLOCKWISE: return blockwise();
      default: refuse("unknown scheme " + std::to_string(weight_.layout->scheme));
    }
  }

 private:
  static std::span<const d2c_plane> planes_of(const d2c_weight& w) {
    if (w.layout == nullptr || w.layout->plane_count > D2C_MAX_PLANES)
      fail(Code::plugin, std::string("weight '") + w.name + "' has no usable layout");
    return {w.layout->planes, w.layout->plane_count};
  }

  WeightForm dense() {
    WeightForm form{"const", {}, {}};
    add(form, "val", D2C_PLANE_DENSE);
    if (form.parameters[0].type != type_) refuse("its dense plane is " + form.parameters[0].type.text());
    expect_planes(form);
    return form;
  }

  WeightForm palette() {
    WeightForm form{"constexpr_lut_to_dense", {}, {}};
    add(form, "indices", D2C_PLANE_INDICES);
    add(form, "lut", D2C_PLANE_LUT);
    expect_planes(form);
    check_palette(form.parameters[0].type, form.parameters[1].type);
    form.vector_axis = vector_axis(form.parameters[0].type.shape, form.parameters[1].type.shape.back());
    return form;
  }

  void check_palette(const TensorType& indices, const TensorType& lut) {
    const std::size_t rank = type_.shape.size();
    const int bits = bits_of(indices.dtype);
    if (index_dtype(bits) != indices.dtype) refuse("palette indices of type " + indices.text());
    if (lut.dtype != type_.dtype) refuse("its palette is " + lut.text());
    if (indices.shape.size() != rank || lut.shape.size() != rank + 2 || lut.shape[rank] != std::int64_t{1} << bits)
      refuse("a palette " + lut.text() + " does not serve indices " + indices.text());
    check_blocks(indices, {lut.dtype, Shape(lut.shape.begin(), lut.shape.end() - 2)});
  }

  /// The axis along which each index stands for a vector of `width` elements, nothing where it stands for one.
  std::optional<std::int32_t> vector_axis(const Shape& indices, std::int64_t width) {
    std::optional<std::int32_t> axis;
    for (std::size_t a = 0; a < indices.size(); ++a) {
      if (indices[a] == type_.shape[a]) continue;
      if (axis || width <= 1 || indices[a] > type_.shape[a] / width || indices[a] * width != type_.shape[a])
        refuse("indices " + to_string(indices) + " with entries of " + std::to_string(width) +
               " elements do not make it");
      axis = static_cast<std::int32_t>(a);
    }
    if (!axis && width != 1)
      refuse("palette entries of " + std::to_string(width) + " elements for as many indices as elements");
    return axis;
  }

  WeightForm blockwise() {
    WeightForm form{"constexpr_blockwise_shift_scale", {}, {}};
    add(form, "data", D2C_PLANE_DATA);
    add(form, "scale", D2C_PLANE_SCALE);
    if (find(D2C_PLANE_OFFSET)) add(form, "offset", D2C_PLANE_OFFSET);
    expect_planes(form);
    const TensorType& data = form.parameters[0].type;
    const TensorType& scale = form.parameters[1].type;
    if (data.shape != type_.shape || scale.dtype != type_.dtype)
      refuse("data " + data.text() + " with scale " + scale.text());
    check_integer(data);
    check_blocks(data, scale);
    if (form.parameters.size() == 3) check_offset(data, scale, form.parameters[2].type);
    return form;
  }

  void check_integer(const TensorType& data) {
    switch (data.dtype) {
      case DType::i4:
      case DType::u4:
      case DType::i8:
      case DType::u8: return;
      default: refuse("block-wise data of type " + data.text());
    }
  }

  void check_offset(const TensorType& data, const TensorType& scale, const TensorType& offset) {
    if (offset.shape != scale.shape || (offset.dtype != data.dtype && !is_real(offset.dtype)))
      refuse("offset " + offset.text() + " with data " + data.text() + " and scale " + scale.text());
  }

  /// Every axis of `fine` must fall into equal blocks, one for each step of `coarse`.
  void check_blocks(const TensorType& fine, const TensorType& coarse) {
    bool fits = fine.shape.size() == coarse.shape.size();
    for (std::size_t a = 0; fits && a < fine.shape.size(); ++a)
      fits = coarse.shape[a] > 0 && fine.shape[a] % coarse.shape[a] == 0;
    if (!fits) refuse(fine.text() + " does not divide into blocks " + to_string(coarse.shape));
  }

  std::optional<std::size_t> find(d2c_plane_role role) const {
    for (std::size_t i = 0; i < planes_.size(); ++i)
      if (planes_[i].role == role) return i;
    return std::nullopt;
  }

  void add(WeightForm& form, const char* parameter, d2c_plane_role role) {
    const auto plane = find(role);
    if (!plane) refuse(std::string("its layout has no plane for '") + parameter + "'");
    form.parameters.push_back({parameter, *plane, TensorType::from_c(planes_[*plane].type)});
  }

  void expect_planes(const WeightForm& form) {
    if (form.parameters.size() != planes_.size()) refuse("its layout has planes that its scheme does not know");
    if (!is_real(type_.dtype)) refuse("weights are fp16 or fp32");
  }

  [[noreturn]] void refuse(const std::string& why) const {
    fail(Code::plugin, std::string("weight '") + weight_.name + "' " + type_.text() + " cannot be stored: " + why);
  }

  const d2c_weight& weight_;
  TensorType type_;
  std::span<const d2c_plane> planes_;
};

}  // namespace

WeightForm form_of(const d2c_weight& weight) { return FormBuilder(weight).build(); }

}  // namespace d2c::coreml_writer
