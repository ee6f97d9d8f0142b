#include "host/inference/attachments.hpp"

namespace d2c::host {

std::map<std::string, std::filesystem::path> attachments(PluginRegistry& plugins, const std::string& package) {
  Value options = Value::table();
  options.set("path", package);
  const auto reader = plugins.create<d2c_package_reader>(plugins.probe(D2C_PACKAGE_READER, package), options);
  const d2c_value* description = nullptr;
  reader.check(reader->describe(reader->self, &description));
  const Value described = Value::from_c(description);
  std::map<std::string, std::filesystem::path> files;
  if (const Value* items = described.find("items"))
    for (const Value& item : items->items())
      files[item.at("name").as_text()] = std::filesystem::path(package) / "Data" / item.at("path").as_text();
  return files;
}

}  // namespace d2c::host
