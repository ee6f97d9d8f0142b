#include "host/guardrails/guardrails.hpp"

#include "host/recipe/nearest.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

const char* name_of(Confidence confidence) {
  switch (confidence) {
    case Confidence::documented: return "documented";
    case Confidence::reported: return "reported";
    default: return "estimated";
  }
}

const char* name_of(Unit unit) {
  switch (unit) {
    case Unit::any: return "any";
    case Unit::neural_engine: return "Neural Engine";
    case Unit::gpu: return "GPU";
    default: return "phone";
  }
}

/// Is the package meant for the unit? The deployment targets there are include phones.
bool concerns(Unit unit, const std::string& compute_units) {
  switch (unit) {
    case Unit::neural_engine: return compute_units == "ALL" || compute_units == "CPU_AND_NE";
    case Unit::gpu: return compute_units == "CPU_AND_GPU";
    default: return true;
  }
}

Severity severity_of(const Guardrail& rule, const std::string& compute_units) {
  const bool another_unit_may_do = rule.unit == Unit::neural_engine && compute_units == "ALL";
  return another_unit_may_do ? std::min(rule.severity, Severity::warning) : rule.severity;
}

void check_names(std::span<const std::string> accepted, const std::string& origin) {
  std::vector<std::string> known;
  for (const Guardrail& rule : guardrails()) known.emplace_back(rule.id);
  for (const std::string& id : accepted)
    if (std::find(known.begin(), known.end(), id) == known.end())
      fail_usage(origin + ": there is no guardrail '" + id + "'" + did_you_mean(id, known));
}

/// A cell of a Markdown table.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

}  // namespace

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::error: return "error";
    case Severity::warning: return "warning";
    default: return "advice";
  }
}

std::string Finding::text() const {
  return std::string(rule->id) + ": " + rule->what + " Here: " + where + ". Resolve by " + rule->key + " (" +
         name_of(rule->confidence) + ": " + rule->source + ")";
}

std::vector<Finding> check_guardrails(const PackageFacts& facts, std::span<const std::string> accepted,
                                      const std::string& origin) {
  check_names(accepted, origin);
  std::vector<Finding> findings;
  for (const Guardrail& rule : guardrails()) {
    if (!concerns(rule.unit, facts.compute_units)) continue;
    if (const auto where = rule.find(facts))
      findings.push_back({&rule, severity_of(rule, facts.compute_units), *where,
                          std::find(accepted.begin(), accepted.end(), rule.id) != accepted.end()});
  }
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return findings;
}

Value to_value(std::span<const Finding> findings) {
  Value list = Value::list();
  for (const Finding& f : findings) {
    Value v = Value::table();
    v.set("rule", f.rule->id);
    v.set("severity", name_of(f.severity));
    v.set("confidence", name_of(f.rule->confidence));
    v.set("where", f.where);
    v.set("what", f.rule->what);
    v.set("why", f.rule->why);
    v.set("source", f.rule->source);
    v.set("resolve", f.rule->key);
    v.set("accepted", f.accepted);
    list.push_back(std::move(v));
  }
  return list;
}

const Finding* first_error(std::span<const Finding> findings) {
  const auto it = std::find_if(findings.begin(), findings.end(),
                               [](const Finding& f) { return f.severity == Severity::error && !f.accepted; });
  return it == findings.end() ? nullptr : &*it;
}

std::string guardrail_reference() {
  std::string text =
      "# Guardrails\n\n"
      "What Core ML and its compute units are known to refuse or to run badly. `plan` and `convert` check a recipe "
      "against it "
      "before any\nwork, `lint PACKAGE` a finished package. No Apple device was at hand for any of it: `documented` is "
      "Apple's "
      "word, `reported` that of\nusers and other projects, `estimated` a calculation.\n\n"
      "An **error** stops `convert` (exit code 2) and fails `plan` and `lint` (exit code 1) unless the recipe accepts "
      "it by name,\n"
      "`[target] accept = [\"weight-ceiling\"]` (`lint --accept weight-ceiling`). **Warnings** are logged, **advice** "
      "is printed "
      "by `plan` and\n`lint` only. Rules follow `target.compute_units`; an error of the Neural Engine is a warning "
      "where that is "
      "`ALL`, since Core ML may\nchoose another unit.\n\n"
      "| rule | severity | unit | what | why | resolve by | known from | confidence "
      "|\n|---|---|---|---|---|---|---|---|\n";
  for (const Guardrail& r : guardrails())
    text += std::string("| `") + r.id + "` | " + name_of(r.severity) + " | " + name_of(r.unit) + " | " + cell(r.what) +
            " | " + cell(r.why) + " | `" + cell(r.key) + "` | " + cell(r.source) + " | " + name_of(r.confidence) +
            " |\n";
  return text + "\nThis file is printed by `dolphin2coreml lint --reference`; a test compares the two.\n";
}

}  // namespace d2c::host
