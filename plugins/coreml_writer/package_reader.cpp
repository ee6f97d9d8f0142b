#include "plugins/coreml_writer/package_reader.hpp"

#include "libs/coreml_spec/package_files.hpp"
#include "plugins/coreml_writer/package_description.hpp"

namespace d2c::coreml_writer {

CoreMLReader::CoreMLReader(const Config& options) : description_(describe_package(options.require_text("path"))) {}

int CoreMLReader::probe(const char* path) {
  try {
    return coreml::open_package(path).model.extension() == ".mlmodel" ? 100 : 0;
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace d2c::coreml_writer
