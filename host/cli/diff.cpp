#include "host/cli/diff.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/loader/plugin_registry.hpp"

#include <cstdio>

namespace d2c::host::cli {
namespace {

std::unique_ptr<Tensors> open(PluginRegistry& plugins, const std::string& path) {
  Value options = Value::table();
  options.set("path", path);
  if (const auto reader = plugins.recognise(D2C_PACKAGE_READER, path))
    return package_tensors(plugins.create<d2c_package_reader>(reader, options));
  return checkpoint_tensors(
      std::make_unique<Source>(plugins.create<d2c_weight_source>(plugins.probe(D2C_WEIGHT_SOURCE, path), options)));
}

std::string number(const Value& entry, const char* key) {
  const Value* v = entry.find(key);
  if (v == nullptr || v->is_null()) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.9g", v->as_real());
  return text;
}

std::string diff_text(const Value& report) {
  Table table({"tensor", "max abs", "relative", "cosine", "types"}, {false, true, true, true, false});
  for (const Value& d : report.at("different").items())
    table.add({d.at("name").as_text(), number(d, "max_abs"), number(d, "relative"), number(d, "cosine"),
               d.at("type_a").as_text() + " | " + d.at("type_b").as_text()});
  std::string text = report.at("different").items().empty() ? "" : table.text() + "\n";
  for (const Value& name : report.at("missing").items()) text += "only in the first: " + name.as_text() + "\n";
  for (const Value& name : report.at("extra").items()) text += "only in the second: " + name.as_text() + "\n";
  return text + std::to_string(report.at("different").items().size()) + " of " +
         std::to_string(report.int_or("compared", 0)) + " common tensors differ\n";
}

}  // namespace

std::string diff(const Arguments& a) {
  PluginRegistry plugins(a.plugin_dirs, {});
  const auto first = open(plugins, a.subject), second = open(plugins, a.diff.other);
  const Value report = host::diff(*first, *second, a.diff.diff);
  const std::string text = result(a.json, report, diff_text(report));
  if (report.bool_or("equal", false)) return text;
  throw CheckFailed{text};
}

}  // namespace d2c::host::cli
