// An .mlpackage folder: its manifest, and paths in it that cannot lead out of it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::coreml {

/// An entry of Manifest.json. `path` is relative to Data/ and equals author + "/" + name.
struct PackageItem {
  std::string identifier;
  std::string path;
  std::string name;
  std::string author;
  std::string description;
};

/// An existing package as its manifest lists it. Every listed path exists inside the package.
struct PackageFiles {
  std::filesystem::path root;
  std::filesystem::path model;     ///< model.mlmodel, absolute or relative as `root` is
  std::vector<PackageItem> items;  ///< sorted by path

  /// The file that a blob reference names, e.g. "@model_path/weights/weight.bin"; Error(input) where it names another
  /// place or leaves the model's folder.
  [[nodiscard]] std::filesystem::path weight_file(std::string_view reference) const;
};

/// Reads and checks Manifest.json; Error(input) says what is wrong with it.
[[nodiscard]] PackageFiles open_package(const std::filesystem::path& root);

/// What a plugin's probe answers: 100 for a folder that open_package() accepts, 0 otherwise.
[[nodiscard]] int probe_package(const char* path) noexcept;

}  // namespace d2c::coreml
