// Any bytes as a package's program and weight file: an error or a description; never a crash.
#include "plugins/coreml_writer/package_description.hpp"
#include "tests/fuzz/package_input.hpp"

#include <d2c/error.hpp>

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const d2c::fuzz::Package package;
  if (!package.fill({reinterpret_cast<const char*>(data), size})) return 0;
  try {
    (void)d2c::coreml_writer::describe_package(package.root());
  } catch (const d2c::Error&) {
  }
  return 0;
}
