#include "host/cli/merge.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/fetch/fetch.hpp"
#include "host/log/log.hpp"
#include "host/merge/merge.hpp"
#include "host/progress/progress.hpp"
#include "host/progress/progress_text.hpp"

#include <cstdio>

namespace d2c::host::cli {
namespace {

std::string number(const Value& v, const char* key, const char* format) {
  char text[64];
  std::snprintf(text, sizeof text, format, v.real_or(key, 0));
  return text;
}

std::string merge_text(const Value& report) {
  Table table({"tensor", "change", "relative", "survives", "cosine"}, {false, true, true, true, true});
  const auto add = [&](const std::string& name, const Value& v) {
    table.add({name, number(v, "delta_norm", "%.4g"), number(v, "relative_norm", "%.3g"), number(v, "share", "%.4f"),
               number(v, "cosine", "%.6f")});
  };
  for (const Value& changed : report.at("changed").items()) add(changed.at("name").as_text(), changed);
  add("all", report.at("merge"));
  std::string text = table.text() + "\n";
  for (const Value& summary : report.at("adapters").items()) text += "adapters: " + summary.as_text() + "\n";
  for (const Value& note : report.at("notes").items()) text += "note: " + note.as_text() + "\n";
  return text + std::to_string(report.at("changed").items().size()) + " of " +
         std::to_string(report.int_or("tensors", 0)) + " tensors changed, " +
         size_text(static_cast<std::uint64_t>(report.int_or("bytes", 0))) + " in " + number(report, "seconds", "%.1f") +
         " s\ncheckpoint: " + report.at("output").as_text() + "\n";
}

}  // namespace

std::string merge(const Arguments& a) {
  const Recipe written = load_recipe(find_recipe("base"), a.overrides);
  PluginRegistry plugins(a.plugin_dirs, written.plugins);
  const auto progress = make_progress(a.quiet || !a.progress);
  const Recipe recipe = fetch_inputs(written, plugins, *progress);
  const Value report = Merge(recipe, plugins, a.merge).run(a.run, *progress);
  return result(a.json, report, merge_text(report));
}

}  // namespace d2c::host::cli
