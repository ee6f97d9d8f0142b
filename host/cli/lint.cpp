#include "host/cli/lint.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/guardrails/guardrails.hpp"
#include "host/loader/plugin_registry.hpp"

namespace d2c::host::cli {
namespace {

Value description_of(const Arguments& a) {
  PluginRegistry plugins(a.plugin_dirs, {});
  Value options = Value::table();
  options.set("path", a.subject);
  const auto reader = plugins.create<d2c_package_reader>(plugins.probe(D2C_PACKAGE_READER, a.subject), options);
  const d2c_value* description = nullptr;
  reader.check(reader->describe(reader->self, &description));
  return Value::from_c(description);
}

}  // namespace

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
  const auto findings = check_guardrails(facts_of(description_of(a), a.lint.compute_units), a.lint.accept, "--accept");
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
