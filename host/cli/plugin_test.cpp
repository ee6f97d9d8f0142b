#include "host/cli/plugin_test.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/conformance/conformance.hpp"
#include "host/recipe/document.hpp"

#include <algorithm>
#include <filesystem>

namespace d2c::host::cli {
namespace {

/// A file, or else a name on the search path.
std::shared_ptr<Plugin> open_plugin(const Arguments& a) {
  const std::filesystem::path path = a.subject;
  std::error_code ignored;
  if (path.has_parent_path() || path.has_extension() || std::filesystem::exists(path, ignored))
    return std::make_shared<Plugin>(std::filesystem::absolute(path));
  return PluginRegistry(a.plugin_dirs, {}).find(a.subject);
}

Value options_of(const Arguments& a) {
  Value options = Value::table();
  for (const Override& o : a.overrides) options.set(o.key, parse_value(o.value, o.origin).value());
  return options;
}

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed: return "ok";
    case Verdict::failed: return "FAILED";
    default: return "skipped";
  }
}

Value to_value(const RuleResult& r) {
  Value v = Value::table();
  v.set("rule", r.id);
  v.set("title", r.title);
  v.set("verdict", r.verdict == Verdict::passed ? "passed" : r.verdict == Verdict::failed ? "failed" : "skipped");
  if (!r.detail.empty()) v.set("detail", r.detail);
  return v;
}

}  // namespace

std::string test_plugin(const Arguments& a) {
  const auto plugin = open_plugin(a);
  const std::vector<RuleResult> results = host::test_plugin(*plugin, options_of(a), a.rules);
  Value rules = Value::list();
  Table table({"rule", "", "a plugin"});
  std::string details;
  std::size_t failed = 0;
  for (const RuleResult& r : results) {
    rules.push_back(to_value(r));
    table.add({r.id, name_of(r.verdict), r.title});
    if (!r.detail.empty()) details += r.id + ": " + r.detail + "\n";
    failed += r.verdict == Verdict::failed;
  }
  Value value = Value::table();
  value.set("plugin", plugin->name());
  value.set("version", plugin->entry().version);
  value.set("rules", std::move(rules));
  value.set("passed", failed == 0);
  const std::string verdict = failed == 0 ? plugin->name() + " keeps the contract\n"
                                          : plugin->name() + " breaks " + std::to_string(failed) + " of " +
                                                std::to_string(results.size()) + " rules\n";
  const std::string text =
      result(a.json, value, table.text() + (details.empty() ? "" : "\n" + details) + "\n" + verdict);
  if (failed != 0) throw CheckFailed{text};
  return text;
}

}  // namespace d2c::host::cli
