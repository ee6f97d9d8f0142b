// The description of a package that reports and inspection work from.
#pragma once

#include <d2c/value.hpp>

#include <filesystem>

namespace d2c::coreml_writer {

/// A table of
///   "format" "mlpackage", "specification_version", "default_function",
///   "functions" [{name, inputs, states, outputs [{name, type}], ops (constants and weights left out), op_counts {type: n}}],
///   "weights" [{name, shape, scheme, bits, group_size, bytes, functions}]: every value that lies in a weight file, once,
///      however many functions share it. scheme: "dense", "palette", "blockwise", or the name of another constexpr op;
///      group_size: elements that share a palette or scale along its axis, 0 for none,
///   "weight_bytes" (size of the weight files), "description", "author", "license", "version",
///   "metadata" {key: text}, "items" [{path, author, name, description, bytes}].
/// Error(input) for anything that is no sound package.
[[nodiscard]] Value describe_package(const std::filesystem::path& root);

}  // namespace d2c::coreml_writer
