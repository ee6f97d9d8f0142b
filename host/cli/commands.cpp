#include "host/cli/commands.hpp"

#include "host/cli/cache.hpp"
#include "host/cli/diff.hpp"
#include "host/cli/doctor.hpp"
#include "host/cli/lint.hpp"
#include "host/cli/merge.hpp"
#include "host/cli/output.hpp"
#include "host/cli/plugin_test.hpp"
#include "host/convert/conversion.hpp"
#include "host/fetch/fetch.hpp"
#include "host/loader/package_description.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/progress/progress.hpp"
#include "host/recipe/recipe.hpp"
#include "host/workspace/workspace.hpp"
#include "libs/json/json.hpp"

#include <map>

namespace d2c::host::cli {
namespace {

Recipe recipe_of(const Arguments& a) {
  const std::string fallback = a.names_model ? "base" : "dolphin3-llama3.1-8b";
  return load_recipe(find_recipe(a.subject.empty() ? fallback : a.subject), a.overrides);
}

/// Checks that need no weights: every plugin is there and knows its options.
void check_plugin_options(const Recipe& recipe, PluginRegistry& plugins) {
  const auto check = [&](const std::string& name, const char* kind, const std::string& where, const Value& options) {
    if (!name.empty() && name != "none") (void)check_options(recipe, where, options, plugins.find(name)->options(kind));
  };
  check(recipe.model.plugin, D2C_WEIGHT_SOURCE, "model", recipe.model.options);
  check(recipe.combine.plugin, D2C_ADAPTER_MERGER, "adapters", recipe.combine.options);
  check(recipe.quantize.plugin, D2C_QUANTIZER, "quantize", recipe.quantize.options);
  for (std::size_t i = 0; i < recipe.quantize.rules.size(); ++i) {
    const QuantizeRule& rule = recipe.quantize.rules[i];
    check(rule.plugin.empty() ? recipe.quantize.plugin : rule.plugin, D2C_QUANTIZER,
          "quantize.rule[" + std::to_string(i) + "]", rule.options);
  }
  for (const FunctionSection& f : recipe.functions) check(f.plugin, D2C_FUNCTION_EMITTER, f.where, f.options);
  check(recipe.output.writer, D2C_PACKAGE_WRITER, "output", recipe.output.options);
}

std::string plan(const Arguments& a) {
  const Recipe written = recipe_of(a);
  PluginRegistry plugins(a.plugin_dirs, written.plugins);
  const Recipe recipe = fetch_inputs(written, plugins, *make_progress(a.quiet || !a.progress));
  const Value report = Conversion(recipe, plugins).plan(a.run);
  const std::string text = result(a.json, report, plan_text(report) + guardrails_text(report.at("guardrails")));
  if (!report.at("passed").as_bool()) throw CheckFailed{text};
  return text;
}

std::string convert(const Arguments& a) {
  const Recipe written = recipe_of(a);
  PluginRegistry plugins(a.plugin_dirs, written.plugins);
  const auto progress = make_progress(a.quiet || !a.progress);
  const Recipe recipe = fetch_inputs(written, plugins, *progress);
  Value report = Conversion(recipe, plugins).run(a.run, *progress);
  if (!a.profile_validate) return result(a.json, report, conversion_text(report));
  report.set("validation", validate(a, recipe, plugins, report.at("package").as_text()));
  const Value& validation = report.at("validation");
  const std::string text = result(a.json, report, conversion_text(report) + "\n" + validation_text(validation));
  if (validation.bool_or("validation_passed", false)) return text;
  throw CheckFailed{text};
}

std::string assemble(const Arguments& a) {
  const Recipe written = recipe_of(a);
  PluginRegistry plugins(a.plugin_dirs, written.plugins);
  const auto progress = make_progress(a.quiet || !a.progress);
  const Value report = Conversion(fetch_inputs(written, plugins, *progress), plugins).assemble(a.run, *progress);
  return result(a.json, report, assembly_text(report));
}

std::string inspect(const Arguments& a) {
  PluginRegistry plugins(a.plugin_dirs, {});
  const Value value = describe_package(plugins, a.subject);
  return result(a.json, value, package_text(value));
}

/// Taking the workspace with nothing kept removes it, and refuses while another run holds it.
std::string clean(const Arguments& a) {
  const auto output = std::filesystem::absolute(a.subject).lexically_normal();
  const auto folder = Workspace::folder_of(output.has_filename() ? output : output.parent_path());
  const bool found = std::filesystem::exists(folder);
  if (found) const Workspace workspace(output, true);
  Value value = Value::table();
  value.set("removed", found ? folder.string() : "");
  return result(
      a.json, value,
      found ? "removed " + folder.string() + "\n" : "nothing to remove: " + folder.string() + " does not exist\n");
}

Value candidate_value(const Candidate& c) {
  Value v = Value::table(), kinds = Value::list();
  v.set("name", c.name);
  v.set("path", c.path.string());
  v.set("origin", c.origin);
  v.set("status", c.plugin ? "loaded" : c.shadowed ? "shadowed" : "refused");
  if (c.plugin) {
    v.set("version", c.plugin->entry().version);
    v.set("summary", c.plugin->entry().summary);
    for (const std::string& kind : c.plugin->kinds()) kinds.push_back(kind);
    v.set("kinds", std::move(kinds));
  }
  if (!c.refusal.empty()) v.set("refusal", c.refusal);
  return v;
}

std::string plugins_list(const Arguments& a) {
  PluginRegistry plugins(a.plugin_dirs, {});
  Value list = Value::list();
  Table table({"plugin", "version", "offers", "from", "path"});
  std::string refusals;
  for (const Candidate& c : plugins.candidates()) {
    list.push_back(candidate_value(c));
    std::string kinds = c.shadowed ? "(shadowed)" : "(refused)";
    if (c.plugin) kinds.clear();
    if (c.plugin)
      for (const std::string& kind : c.plugin->kinds()) kinds += (kinds.empty() ? "" : ", ") + kind;
    table.add({c.name, c.plugin ? c.plugin->entry().version : "", kinds, c.origin, c.path.string()});
    if (!c.refusal.empty()) refusals += "refused: " + c.refusal + "\n";
  }
  Value value = Value::table();
  value.set("plugins", std::move(list));
  return result(a.json, value, table.text() + (refusals.empty() ? "" : "\n" + refusals));
}

Value option_value(const d2c_option_spec& spec) {
  static constexpr const char* kKinds[] = {"null", "boolean", "integer", "number", "string", "list", "table"};
  Value v = Value::table();
  v.set("name", spec.name);
  v.set("kind", kKinds[spec.kind]);
  if (spec.default_json != nullptr) v.set("default", json::parse(spec.default_json, spec.name));
  if (spec.allowed_json != nullptr) v.set("allowed", json::parse(spec.allowed_json, spec.name));
  v.set("help", spec.help);
  return v;
}

std::string plugins_info(const Arguments& a) {
  PluginRegistry plugins(a.plugin_dirs, {});
  const auto plugin = plugins.find(a.subject);
  Value value = Value::table(), options = Value::list(), kinds = Value::list();
  std::string text = plugin->name() + " " + plugin->entry().version + ": " + plugin->entry().summary + "\n" +
                     plugin->path().string() + "\n";
  for (const std::string& kind : plugin->kinds()) {
    kinds.push_back(kind);
    Table table({"option", "kind", "default", "allowed", "help"});
    for (const d2c_option_spec* spec : plugin->options(kind)) {
      Value option = option_value(*spec);
      table.add({spec->name, option.at("kind").as_text(),
                 spec->default_json == nullptr ? "required" : spec->default_json,
                 spec->allowed_json == nullptr ? "" : spec->allowed_json, spec->help});
      option.set("of", kind);
      options.push_back(std::move(option));
    }
    text += "\n" + kind + "\n" + (plugin->options(kind).empty() ? "no options\n" : table.text());
  }
  value.set("name", plugin->name());
  value.set("version", plugin->entry().version);
  value.set("summary", plugin->entry().summary);
  value.set("path", plugin->path().string());
  value.set("kinds", std::move(kinds));
  value.set("options", std::move(options));
  return result(a.json, value, text);
}

std::string recipe_check(const Arguments& a) {
  const Recipe recipe = recipe_of(a);
  PluginRegistry plugins(a.plugin_dirs, recipe.plugins);
  check_plugin_options(recipe, plugins);
  Value value = Value::table();
  value.set("recipe", recipe.name);
  value.set("ok", true);
  return result(a.json, value, recipe.name + ": ok\n");
}

std::string recipe_show(const Arguments& a) {
  const Recipe recipe = recipe_of(a);
  return result(a.json, recipe.resolved, to_toml(recipe));
}

std::string schema(const Arguments& a) {
  static const std::pair<const char*, const char*> kSections[] = {
      {"model", D2C_WEIGHT_SOURCE},     {"adapters", D2C_ADAPTER_MERGER},   {"quantize", D2C_QUANTIZER},
      {"quantize.rule", D2C_QUANTIZER}, {"function", D2C_FUNCTION_EMITTER}, {"output", D2C_PACKAGE_WRITER}};
  PluginRegistry plugins(a.plugin_dirs, {});
  std::map<std::string, std::vector<const d2c_option_spec*>> options;
  for (const Candidate& c : plugins.candidates()) {
    if (!c.plugin) continue;
    for (const auto& [section, kind] : kSections)
      for (const d2c_option_spec* spec : c.plugin->options(kind)) options[section].push_back(spec);
  }
  return json::dump(recipe_schema(options), 2) + "\n";
}

}  // namespace

std::string run(const Arguments& a) {
  switch (a.command) {
    case Command::convert: return convert(a);
    case Command::assemble: return assemble(a);
    case Command::plan: return plan(a);
    case Command::merge: return merge(a);
    case Command::diff: return diff(a);
    case Command::inspect: return inspect(a);
    case Command::lint: return lint(a);
    case Command::clean: return clean(a);
    case Command::generate: return generate(a);
    case Command::chat: return chat(a);
    case Command::embed: return embed(a);
    case Command::bench: return bench(a);
    case Command::tokenize: return tokenize(a);
    case Command::verify: return verify(a);
    case Command::cache_list: return cache_list(a);
    case Command::cache_verify: return cache_verify(a);
    case Command::cache_prune: return cache_prune(a);
    case Command::doctor: return doctor(a);
    case Command::plugins_list: return plugins_list(a);
    case Command::plugins_info: return plugins_info(a);
    case Command::plugins_test: return test_plugin(a);
    case Command::recipe_check: return recipe_check(a);
    case Command::recipe_show: return recipe_show(a);
    case Command::recipe_schema: return schema(a);
    case Command::recipe_reference: return recipe_reference();
  }
  fail_usage("no such command");
}

}  // namespace d2c::host::cli
