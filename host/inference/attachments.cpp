#include "host/inference/attachments.hpp"

#include "host/loader/package_description.hpp"

namespace d2c::host {

std::map<std::string, std::filesystem::path> attachments(PluginRegistry& plugins, const std::string& package) {
  const Value described = describe_package(plugins, package);
  std::map<std::string, std::filesystem::path> files;
  if (const Value* items = described.find("items"))
    for (const Value& item : items->items())
      files[item.at("name").as_text()] = std::filesystem::path(package) / "Data" / item.at("path").as_text();
  return files;
}

}  // namespace d2c::host
