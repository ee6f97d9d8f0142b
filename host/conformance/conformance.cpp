#include "host/conformance/conformance.hpp"

#include "host/conformance/isolation.hpp"
#include "host/conformance/rules.hpp"
#include "host/recipe/nearest.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

using conformance::Outcome;
using conformance::Rule;

constexpr unsigned kSeconds = 60;

constexpr const char* kQuiet = "quiet";

Verdict verdict_of(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::returned: return Verdict::passed;
    case Outcome::Kind::skipped: return Verdict::skipped;
    default: return Verdict::failed;
  }
}

/// Applies rules in their order and notes which of them wrote to stdout, which is the host's alone.
class Examination {
 public:
  Examination(const Plugin& plugin, const Value& options, std::span<const std::string> only)
      : plugin_(plugin), options_(options), only_(only) {}

  void apply(std::span<const Rule> rules) {
    for (const Rule& rule : rules) {
      if (!only_.empty() && std::find(only_.begin(), only_.end(), rule.id) == only_.end()) continue;
      const Outcome outcome = conformance::run_isolated([&] { rule.check(plugin_, options_); }, kSeconds);
      results_.push_back({rule.id, rule.title, verdict_of(outcome.kind), outcome.text});
      if (outcome.stdout_bytes != 0) noisy_ += (noisy_.empty() ? "" : ", ") + std::string(rule.id);
    }
  }

  std::vector<RuleResult> results() && {
    results_.push_back({kQuiet, "writes nothing to standard output, which belongs to the host",
                        noisy_.empty() ? Verdict::passed : Verdict::failed,
                        noisy_.empty() ? "" : "wrote to it during " + noisy_ + "; log through d2c_host.log"});
    return std::move(results_);
  }

 private:
  const Plugin& plugin_;
  const Value& options_;
  std::span<const std::string> only_;
  std::vector<RuleResult> results_;
  std::string noisy_;
};

void check_names(std::span<const std::string> only) {
  std::vector<std::string> known{kQuiet};
  for (const auto rules : {conformance::entry_rules(), conformance::quantizer_rules()})
    for (const Rule& rule : rules) known.emplace_back(rule.id);
  for (const std::string& name : only)
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail_usage("there is no rule '" + name + "'" + did_you_mean(name, known));
}

}  // namespace

std::vector<RuleResult> test_plugin(const Plugin& plugin, const Value& options, std::span<const std::string> only) {
  check_names(only);
  Examination examination(plugin, options, only);
  examination.apply(conformance::entry_rules());
  if (plugin.factory(D2C_QUANTIZER) != nullptr) examination.apply(conformance::quantizer_rules());
  return std::move(examination).results();
}

}  // namespace d2c::host
