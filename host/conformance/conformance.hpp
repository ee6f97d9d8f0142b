// The conformance kit: does a plugin keep the contract of abi.h? For its author to run before anybody converts with it.
#pragma once

#include "host/loader/plugin_registry.hpp"

#include <d2c/value.hpp>

#include <span>
#include <string>
#include <vector>

namespace d2c::host {

enum class Verdict { passed, failed, skipped };

struct RuleResult {
  std::string id;
  std::string title;  ///< what the rule asks for
  Verdict verdict = Verdict::passed;
  std::string detail;  ///< why it failed or was skipped
};

/// Applies every rule, each in a process of its own, so that a crash or an endless loop is a finding like any other.
/// `options` are those the quantizer is made with; what they leave open takes its default. `only`: the rules to apply;
/// empty for all of them. Error(usage) for a rule that there is not.
[[nodiscard]] std::vector<RuleResult> test_plugin(const Plugin& plugin, const Value& options,
                                                  std::span<const std::string> only = {});

}  // namespace d2c::host
