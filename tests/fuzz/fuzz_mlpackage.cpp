// Any bytes as a package's program and weight file: an error or a description; never a crash. The input is the length of
// weight.bin (2 bytes, little-endian), weight.bin, then model.mlmodel.
#include "plugins/coreml_writer/manifest.hpp"
#include "plugins/coreml_writer/package_description.hpp"

#include <d2c/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// A package whose manifest is sound; made once and removed at exit.
struct Package {
  fs::path root = fs::temp_directory_path() / ("d2c_fuzz_" + std::to_string(::getpid()) + ".mlpackage");
  fs::path model = root / "Data/com.apple.CoreML/model.mlmodel";
  fs::path weights = root / "Data/com.apple.CoreML/weights/weight.bin";

  Package() {
    fs::create_directories(weights.parent_path());
    const std::string author = "com.apple.CoreML";
    write(root / "Manifest.json",
          d2c::coreml_writer::manifest_json({{author, "model.mlmodel", ""}, {author, "weights", ""}}, "fuzz"));
  }
  ~Package() {
    std::error_code error;
    fs::remove_all(root, error);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Package package;
  if (size < 2) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t weight_bytes = std::min<std::size_t>(data[0] | data[1] << 8, rest.size());
  write(package.weights, rest.substr(0, weight_bytes));
  write(package.model, rest.substr(weight_bytes));
  try {
    (void)d2c::coreml_writer::describe_package(package.root);
  } catch (const d2c::Error&) {
  }
  return 0;
}
