#include "libs/coreml_spec/package_files.hpp"

#include "libs/json/json.hpp"

#include <algorithm>

namespace d2c::coreml {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxManifestBytes = 4u << 20;
constexpr std::string_view kModelPath = "@model_path/";

/// `base`/`relative` if that exists and lies, symbolic links followed, inside `base`.
fs::path resolve_inside(const fs::path& base, std::string_view relative, const std::string& where) {
  const fs::path path = base / fs::path(relative);
  std::error_code error;
  const fs::path real_base = fs::canonical(base, error);
  if (error) fail_input(where + ": " + base.string() + " does not exist");
  if (relative.find('\0') != std::string_view::npos) fail_input(where + ": a path with a NUL byte");
  const fs::path real = fs::canonical(path, error);
  if (error) fail_input(where + ": '" + std::string(relative) + "' does not exist in " + base.string());
  const auto [end, unused] = std::mismatch(real_base.begin(), real_base.end(), real.begin(), real.end());
  if (end != real_base.end() || real == real_base)
    fail_input(where + ": '" + std::string(relative) + "' leads out of " + base.string());
  return path;
}

std::string text(const Value& item, const char* key, const std::string& where) {
  const Value* value = item.find(key);
  if (value == nullptr || !value->is_text()) fail_input(where + ": '" + key + "' is missing or no string");
  return value->as_text();
}

PackageItem read_item(const std::string& identifier, const Value& value, const fs::path& data,
                      const std::string& manifest) {
  const std::string where = manifest + ": item " + identifier;
  PackageItem item{identifier, text(value, "path", where), text(value, "name", where), text(value, "author", where),
                   text(value, "description", where)};
  resolve_inside(data, item.path, where);
  return item;
}

}  // namespace

fs::path PackageFiles::weight_file(std::string_view reference) const {
  const std::string where = model.string() + ": weight file '" + std::string(reference) + "'";
  if (!reference.starts_with(kModelPath)) fail_input(where + " does not start with " + std::string(kModelPath));
  return resolve_inside(model.parent_path(), reference.substr(kModelPath.size()), where);
}

PackageFiles open_package(const fs::path& root) {
  const fs::path manifest = root / "Manifest.json";
  std::error_code error;
  if (!fs::is_directory(root, error)) fail_input(root.string() + ": no such package folder");
  if (!fs::is_regular_file(manifest, error)) fail_input(root.string() + ": is no .mlpackage (no Manifest.json in it)");
  const std::string where = manifest.string();
  const Value json = json::parse_file(where, kMaxManifestBytes);
  if (text(json, "fileFormatVersion", where) != "1.0.0")
    fail_input(where + ": fileFormatVersion " + json.at("fileFormatVersion").as_text() + "; only 1.0.0 is known");
  const std::string root_item = text(json, "rootModelIdentifier", where);
  const Value* entries = json.find("itemInfoEntries");
  if (entries == nullptr || !entries->is_table()) fail_input(where + ": 'itemInfoEntries' is missing or no object");

  PackageFiles files{root, {}, {}};
  const fs::path data = root / "Data";
  for (const auto& [identifier, value] : entries->members()) {
    files.items.push_back(read_item(identifier, value, data, where));
    if (identifier == root_item) files.model = data / files.items.back().path;
  }
  if (files.model.empty()) fail_input(where + ": rootModelIdentifier names no item");
  std::ranges::sort(files.items, {}, &PackageItem::path);
  return files;
}

int probe_package(const char* path) noexcept {
  try {
    return open_package(path).model.extension() == ".mlmodel" ? 100 : 0;
  } catch (...) {
    return 0;
  }
}

}  // namespace d2c::coreml
