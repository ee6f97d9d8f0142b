// Manifest.json of a package.
#pragma once

#include <string>
#include <vector>

namespace d2c::coreml_writer {

struct ManifestItem {
  std::string author;
  std::string name;
  std::string description;
};

/// The manifest of a package whose first item is the model. Identifiers derive from an item's place and `digest`, which
/// stands for the package's contents: equal packages get equal manifests, different ones different identifiers.
[[nodiscard]] std::string manifest_json(const std::vector<ManifestItem>& items, const std::string& digest);

}  // namespace d2c::coreml_writer
