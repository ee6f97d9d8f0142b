// A function run in a child process, so that whatever it does to itself stays there.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace d2c::host::conformance {

struct Outcome {
  enum class Kind { returned, threw, skipped, died } kind = Kind::returned;
  std::string text;                ///< what it threw, why it skipped, or how the process ended
  std::uint64_t stdout_bytes = 0;  ///< written by it to standard output
};

/// The child is killed after `seconds`. Error(resource) where there is no child to be had.
[[nodiscard]] Outcome run_isolated(const std::function<void()>& body, unsigned seconds);

}  // namespace d2c::host::conformance
