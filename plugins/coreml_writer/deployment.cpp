#include "plugins/coreml_writer/deployment.hpp"

#include <d2c/error.hpp>

#include <string>

namespace d2c::coreml_writer {
namespace {

struct Target {
  std::string_view name;
  Deployment deployment;
};
constexpr Deployment kCoreML8{9, "CoreML8"};
constexpr Deployment kCoreML9{10, "CoreML9"};
constexpr Target kTargets[] = {
    {"iOS18", kCoreML8}, {"macOS15", kCoreML8}, {"visionOS2", kCoreML8},
    {"iOS26", kCoreML9}, {"macOS26", kCoreML9}, {"visionOS26", kCoreML9},
};

}  // namespace

Deployment deployment_of(std::string_view target) {
  std::string names;
  for (const Target& t : kTargets) {
    if (t.name == target) return t.deployment;
    names += (names.empty() ? "" : ", ") + std::string(t.name);
  }
  fail_usage("deployment target '" + std::string(target) + "' is not one of " + names);
}

}  // namespace d2c::coreml_writer
