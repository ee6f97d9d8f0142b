// `plugins test`: the conformance kit on one plugin.
#pragma once

#include <string>

namespace d2c::host::cli {

struct Arguments;

/// CheckFailed where a rule is broken.
[[nodiscard]] std::string test_plugin(const Arguments& arguments);

}  // namespace d2c::host::cli
