#include "host/inference/tokenizer_files.hpp"

#include "host/inference/attachments.hpp"
#include "host/planner/source.hpp"
#include "libs/whole_file/whole_file.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace d2c::host {
namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

constexpr const char* kNames[] = {"tokenizer.json",          "tokenizer_config.json", "generation_config.json",
                                  "special_tokens_map.json", "chat_template.jinja",   "tokenizer.model"};
constexpr std::uintmax_t kMaxBytes = 256u << 20;

bool has_tokenizer(const Files& files) { return files.contains("tokenizer.json") || files.contains("tokenizer.model"); }

Files of_folder(const fs::path& folder) {
  Files files;
  for (const char* name : kNames)
    if (fs::is_regular_file(folder / name)) files[name] = read_whole_file((folder / name).string(), kMaxBytes);
  return files;
}

Files of_package(PluginRegistry& plugins, const std::string& path, TokenizerOf which) {
  const auto attached = attachments(plugins, path);
  Files files;
  for (const char* name : kNames) {
    auto file = which == TokenizerOf::encoder ? attached.find(std::string(kEncoderAsset) + name) : attached.end();
    if (file == attached.end()) file = attached.find(name);
    if (file != attached.end()) files[name] = read_whole_file(file->second.string(), kMaxBytes);
  }
  return files;
}

Files of_source(PluginRegistry& plugins, const std::string& path) {
  Value options = Value::table();
  options.set("path", path);
  const Source source(plugins.create<d2c_weight_source>(plugins.probe(D2C_WEIGHT_SOURCE, path), options));
  Files files;
  for (Asset& asset : source.assets()) files[asset.name] = std::move(asset.data);
  return files;
}

}  // namespace

Files tokenizer_files(PluginRegistry& plugins, const std::string& path, TokenizerOf which) {
  if (!fs::exists(path)) fail_input(path + ": does not exist");
  Files files;
  if (fs::is_directory(path) && !has_tokenizer(files = of_folder(path)) && fs::exists(fs::path(path) / "Manifest.json"))
    files = of_package(plugins, path, which);
  else if (fs::is_regular_file(path)) files = of_source(plugins, path);
  if (!has_tokenizer(files))
    fail_input(path + ": has no tokenizer.json and no tokenizer.model; name a folder that has one");
  return files;
}

}  // namespace d2c::host
