// Which operating systems can load what.
#pragma once

#include <string_view>

namespace d2c::coreml_writer {

struct Deployment {
  int specification_version;
  const char* opset;
};

/// The format for a deployment target such as "iOS18"; Error(usage) lists the targets there are. Older systems know
/// neither states nor several functions in one package.
[[nodiscard]] Deployment deployment_of(std::string_view target);

}  // namespace d2c::coreml_writer
