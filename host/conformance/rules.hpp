// What the rules are made of. A rule throws Error to fail and Skipped where it does not apply.
#pragma once

#include "host/loader/plugin_registry.hpp"

#include <d2c/value.hpp>

#include <span>
#include <string>

namespace d2c::host::conformance {

struct Skipped {
  std::string why;
};

struct Rule {
  const char* id;
  const char* title;
  void (*check)(const Plugin& plugin, const Value& options);
};

/// Of any plugin.
[[nodiscard]] std::span<const Rule> entry_rules();
/// Of a plugin that offers D2C_QUANTIZER.
[[nodiscard]] std::span<const Rule> quantizer_rules();

/// `given` with the defaults of what it leaves open. Error(usage) for an option that there is not.
[[nodiscard]] Value with_defaults(const Plugin& plugin, const char* kind, const Value& given);

}  // namespace d2c::host::conformance
