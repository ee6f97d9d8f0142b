// A package opened for running: every function compiled, states made per session.
#pragma once

#include "libs/mil_cpu/plan.hpp"

#include <d2c/plugin.hpp>

#include <filesystem>
#include <memory>
#include <string_view>

namespace d2c::mil_cpu {

struct RunnerOptions {
  Precision precision = Precision::fp32;
  unsigned threads = 0;  ///< 0: one for each core
  bool fuse = true;      ///< see CompileOptions
};

/// "fp32", "fp16" or "fast"; Error(usage) names them.
[[nodiscard]] Precision precision_named(std::string_view name);

/// Opens and checks a package; Error(input) says what is wrong with it.
///
/// Calls may come from any thread. They share one thread pool and one working memory, so they take turns; a second call
/// with a state that a call is using is Error(usage). States may outlive the runner, but can then only be read and freed.
[[nodiscard]] std::unique_ptr<Runner> open_runner(const std::filesystem::path& package, const RunnerOptions& options);

}  // namespace d2c::mil_cpu
