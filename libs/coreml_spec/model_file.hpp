// model.mlmodel: parsing what may be hostile, and writing it the same way every time.
#pragma once

#include "libs/coreml_spec/model.pb.h"

#include <filesystem>
#include <string>

namespace d2c::coreml {

/// Parses an ML program. Anything else - unreadable, larger than 64 MiB, no protobuf, another kind of model - is
/// Error(input). What the messages say is not checked beyond that.
[[nodiscard]] spec::Model parse_model(const std::filesystem::path& path);

/// Equal models give equal bytes: map entries are sorted by key.
[[nodiscard]] std::string serialize_model(const spec::Model& model);

}  // namespace d2c::coreml
