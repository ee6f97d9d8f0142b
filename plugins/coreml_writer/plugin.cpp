#include "plugins/coreml_writer/package_reader.hpp"
#include "plugins/coreml_writer/package_writer.hpp"

D2C_PLUGIN("coreml_writer", "1.0.0",
           "Core ML .mlpackage: writes ML programs with compressed weights and describes existing ones.",
           d2c::package_writer<d2c::coreml_writer::CoreMLWriter>,
           d2c::package_reader<d2c::coreml_writer::CoreMLReader>);
