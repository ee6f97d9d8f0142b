#include "plugins/coreml_writer/manifest.hpp"

#include "libs/digest/sha256.hpp"
#include "libs/json/json.hpp"

namespace d2c::coreml_writer {
namespace {

/// A version 8 UUID (RFC 9562: any hash the maker likes) of a text.
std::string uuid_of(const std::string& text) {
  std::string hex = sha256_of(text).substr(0, 32);
  hex[12] = '8';
  hex[16] = "89ab"[hex[16] % 4];
  for (const std::size_t dash : {20u, 16u, 12u, 8u}) hex.insert(dash, 1, '-');
  return hex;
}

}  // namespace

std::string manifest_json(const std::vector<ManifestItem>& items, const std::string& digest) {
  Value entries = Value::table();
  std::string root;
  for (const ManifestItem& item : items) {
    const std::string path = item.author + "/" + item.name;
    const std::string identifier = uuid_of(path + '\n' + digest);
    if (root.empty()) root = identifier;
    entries.set(
        identifier,
        Value::Table{{"author", item.author}, {"description", item.description}, {"name", item.name}, {"path", path}});
  }
  const Value manifest =
      Value::Table{{"fileFormatVersion", "1.0.0"}, {"itemInfoEntries", entries}, {"rootModelIdentifier", root}};
  return json::dump(manifest, 4) + "\n";
}

}  // namespace d2c::coreml_writer
