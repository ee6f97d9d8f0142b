// A fuzzer's input as a package: the length of weight.bin (2 bytes, little-endian), weight.bin, then model.mlmodel.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace d2c::fuzz {

/// A package whose manifest is sound; made once and removed at exit.
class Package {
 public:
  Package() {
    std::filesystem::create_directories(weights_.parent_path());
    write(root_ / "Manifest.json", kManifest);
  }
  ~Package() {
    std::error_code error;
    std::filesystem::remove_all(root_, error);
  }
  Package(const Package&) = delete;
  Package& operator=(const Package&) = delete;

  [[nodiscard]] const std::filesystem::path& root() const noexcept { return root_; }

  /// Takes the input's weights and model; false where it is too short for a length.
  bool fill(std::string_view input) const {
    if (input.size() < 2) return false;
    const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(input[i])); };
    const std::string_view rest = input.substr(2);
    const std::size_t weight_bytes = std::min(byte(0) | byte(1) << 8, rest.size());
    write(weights_, rest.substr(0, weight_bytes));
    write(model_, rest.substr(weight_bytes));
    return true;
  }

 private:
  static constexpr std::string_view kManifest =
      R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "m", "itemInfoEntries": {
  "m": {"path": "com.apple.CoreML/model.mlmodel", "name": "model.mlmodel", "author": "com.apple.CoreML", "description": ""},
  "w": {"path": "com.apple.CoreML/weights", "name": "weights", "author": "com.apple.CoreML", "description": ""}}})";

  static void write(const std::filesystem::path& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("d2c_fuzz_" + std::to_string(::getpid()) + ".mlpackage");
  std::filesystem::path model_ = root_ / "Data/com.apple.CoreML/model.mlmodel";
  std::filesystem::path weights_ = root_ / "Data/com.apple.CoreML/weights/weight.bin";
};

}  // namespace d2c::fuzz
