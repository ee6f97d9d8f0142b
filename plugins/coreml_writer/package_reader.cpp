#include "plugins/coreml_writer/package_reader.hpp"

#include "libs/coreml_spec/package_files.hpp"
#include "plugins/coreml_writer/package_description.hpp"

namespace d2c::coreml_writer {

CoreMLReader::CoreMLReader(const Config& options) : description_(describe_package(options.require_text("path"))) {}

int CoreMLReader::probe(const char* path) { return coreml::probe_package(path); }

}  // namespace d2c::coreml_writer
