#include "host/loader/package_description.hpp"

namespace d2c::host {

Value describe_package(PluginRegistry& plugins, const std::string& package) {
  Value options = Value::table();
  options.set("path", package);
  const auto reader = plugins.create<d2c_package_reader>(plugins.probe(D2C_PACKAGE_READER, package), options);
  const d2c_value* description = nullptr;
  reader.check(reader->describe(reader->self, &description));
  return Value::from_c(description);
}

}  // namespace d2c::host
