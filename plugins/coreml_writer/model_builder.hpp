// model.mlmodel from the host's program.
#pragma once

#include "plugins/coreml_writer/blob_plan.hpp"
#include "plugins/coreml_writer/deployment.hpp"
#include "plugins/coreml_writer/program_view.hpp"

#include <string>

namespace d2c::coreml_writer {

inline constexpr const char* kWeightFile = "weights/weight.bin";  ///< relative to the model's folder

/// The serialized model; equal programs give equal bytes.
[[nodiscard]] std::string build_model(const ProgramView& program, const BlobPlan& blobs, const Deployment& deployment,
                                      const d2c_package_info& info);

}  // namespace d2c::coreml_writer
