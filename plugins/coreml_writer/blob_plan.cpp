#include "plugins/coreml_writer/blob_plan.hpp"

namespace d2c::coreml_writer {
namespace {

// Core ML's own tools keep shorter tensors in the program.
constexpr std::int64_t kMinBlobElements = 10;

bool is_blob(const TensorType& type) { return coreml::is_blob_dtype(type.dtype) && type.count() >= kMinBlobElements; }

}  // namespace

BlobPlan::BlobPlan(const ProgramView& program) : constants_(program.constants().size()) {
  const auto add = [&](const TensorType& type) {
    layout_.add(type);
    return layout_.records().size() - 1;
  };
  for (std::size_t w = 0; w < program.weight_count(); ++w) {
    const d2c_layout& layout = *program.weight(w).layout;
    auto& planes = planes_.emplace_back();
    for (std::size_t p = 0; p < layout.plane_count; ++p)
      planes.push_back(add(TensorType::from_c(layout.planes[p].type)));
  }
  for (std::size_t c = 0; c < constants_.size(); ++c) {
    const TensorType type = TensorType::from_c(program.constants()[c].type);
    if (program.uses_constant(c) && is_blob(type)) constants_[c] = add(type);
  }
}

const coreml::BlobRecord& BlobPlan::plane(std::size_t weight, std::size_t plane) const {
  if (weight >= planes_.size() || plane >= planes_[weight].size())
    fail(Code::plugin, "no plane " + std::to_string(plane) + " of weight " + std::to_string(weight));
  return layout_.records()[planes_[weight][plane]];
}

const coreml::BlobRecord* BlobPlan::constant(std::size_t index) const {
  return constants_[index] ? &layout_.records()[*constants_[index]] : nullptr;
}

}  // namespace d2c::coreml_writer
