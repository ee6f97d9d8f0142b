// `bench`: how fast a package runs here, and what it takes.
#pragma once

#include "host/inference/model.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace d2c::host::cli {

struct Arguments;

struct BenchOptions {
  std::optional<std::int64_t> prompt_tokens;  ///< absent: as many as there is room for, at most 128
  std::optional<std::int64_t> new_tokens;     ///< absent: as many as there is room for, at most 64
  std::int64_t repeats = 3;
  std::int64_t warmup = 1;
  RunnerOptions runner;
};

[[nodiscard]] std::string bench(const Arguments& arguments);

}  // namespace d2c::host::cli
