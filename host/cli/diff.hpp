// `diff`: two checkpoints, tensor by tensor.
#pragma once

#include "host/diff/diff.hpp"

#include <string>

namespace d2c::host::cli {

struct Arguments;

struct DiffCommandOptions {
  std::string other;
  DiffOptions diff;
};

/// CheckFailed where they differ.
[[nodiscard]] std::string diff(const Arguments& arguments);

}  // namespace d2c::host::cli
