#include "plugins/mil_cpu/mil_cpu.hpp"

#include "libs/coreml_spec/package_files.hpp"
#include "libs/mil_cpu/runner.hpp"

namespace d2c::mil_cpu {
namespace {

constexpr std::int64_t kMaxThreads = 1024;

RunnerOptions parse(const Config& options) {
  const std::int64_t threads = options.get_or("threads", 0);
  if (threads < 0 || threads > kMaxThreads)
    fail_usage("threads: " + std::to_string(threads) + " is not in 0.." + std::to_string(kMaxThreads));
  RunnerOptions parsed;
  parsed.precision = precision_named(options.get_or("precision", "fp32"));
  parsed.threads = static_cast<unsigned>(threads);
  return parsed;
}

}  // namespace

int MilCpu::probe(const char* path) { return coreml::probe_package(path); }

MilCpu::MilCpu(const Config& options) : runner_(open_runner(options.require_text("path"), parse(options))) {}

}  // namespace d2c::mil_cpu
