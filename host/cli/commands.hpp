// What each command does, once its arguments are parsed.
#pragma once

#include "host/cli/arguments.hpp"

#include <string>

namespace d2c::host::cli {

/// Runs the command and returns what belongs on stdout, text or JSON as asked.
[[nodiscard]] std::string run(const Arguments& arguments);

}  // namespace d2c::host::cli
