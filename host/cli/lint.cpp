#include "host/cli/lint.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/guardrails/guardrails.hpp"
#include "host/loader/package_description.hpp"

namespace d2c::host::cli {

std::string guardrails_text(const Value& findings) {
  std::string text;
  for (const Value& f : findings.items())
    text += f.at("severity").as_text() + (f.at("accepted").as_bool() ? " (accepted): " : ": ") +
            f.at("rule").as_text() + ": " + f.at("what").as_text() + " " + f.at("why").as_text() +
            "\n  here: " + f.at("where").as_text() + "\n  resolve by: " + f.at("resolve").as_text() + "\n  " +
            f.at("confidence").as_text() + ": " + f.at("source").as_text() + "\n";
  return text;
}

std::string lint(const Arguments& a) {
  if (a.lint.reference) return guardrail_reference();
  if (a.subject.empty()) fail_usage("lint: name a PACKAGE; see 'dolphin2coreml help lint'");
  PluginRegistry plugins(a.plugin_dirs, {});
  const PackageFacts facts = facts_of(describe_package(plugins, a.subject), a.lint.compute_units);
  const auto findings = check_guardrails(facts, a.lint.accept, "--accept");
  Value value = Value::table();
  value.set("package", a.subject);
  value.set("compute_units", a.lint.compute_units);
  value.set("guardrails", to_value(findings));
  value.set("passed", first_error(findings) == nullptr);
  std::string text = guardrails_text(value.at("guardrails"));
  if (text.empty()) text = "nothing is known against this package on " + a.lint.compute_units + "\n";
  text = result(a.json, value, text);
  if (first_error(findings) != nullptr) throw CheckFailed{text};
  return text;
}

}  // namespace d2c::host::cli
