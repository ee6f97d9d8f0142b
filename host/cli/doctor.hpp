// `doctor`: is everything here that a conversion needs, and what to do where it is not.
#pragma once

#include <string>

namespace d2c::host::cli {

struct Arguments;

/// CheckFailed where something is missing.
[[nodiscard]] std::string doctor(const Arguments& arguments);

}  // namespace d2c::host::cli
