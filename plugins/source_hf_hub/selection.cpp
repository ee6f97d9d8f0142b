#include "plugins/source_hf_hub/selection.hpp"

#include "libs/hub_cache/repository.hpp"
#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

namespace d2c::hub {
namespace {

constexpr const char* kModel = "model.safetensors";
constexpr const char* kAdapter = "adapter_model.safetensors";
constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr std::string_view kTokenizerFiles[] = {"chat_template.jinja", "merges.txt", "tokenizer.model", "vocab.txt"};
constexpr std::string_view kPickles[] = {".bin", ".pt", ".pth", ".ckpt", ".pkl"};

using Names = std::vector<std::string>;

bool contains(const Names& files, std::string_view name) {
  return std::find(files.begin(), files.end(), name) != files.end();
}

/// The first file that ends like that, empty where none does.
std::string find_ending(const Names& files, std::string_view suffix) {
  const auto it = std::find_if(files.begin(), files.end(), [&](const std::string& f) { return f.ends_with(suffix); });
  return it == files.end() ? std::string() : *it;
}

[[noreturn]] void refuse(const Names& files, const char* wanted, const std::string& what) {
  if (contains(files, kAdapter) && std::string_view(wanted) == kModel)
    fail_input(what + ": is an adapter, not a model; pass it as an adapter, and its base model as the model");
  for (const std::string_view suffix : kPickles)
    if (const std::string pickle = find_ending(files, suffix); !pickle.empty())
      fail_input(what + ": has no " + wanted + ", only a pickle (" + pickle +
                 "), which can run code when it is read and is never downloaded; look for a revision or a copy of the "
                 "model with safetensors");
  if (const std::string gguf = find_ending(files, ".gguf"); !gguf.empty())
    fail_input(what + ": has no " + wanted + ", only GGUF files; download " + gguf + " and pass its path as the model");
  fail_input(what + ": has no " + wanted);
}

Names shards_of(const std::filesystem::path& index, const Names& files, const std::string& what) {
  const Value root = json::parse_file(index.string());
  const Value* map = root.is_table() ? root.find("weight_map") : nullptr;
  if (map == nullptr || !map->is_table()) fail_input(index.string() + ": has no \"weight_map\" object");
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map->members()) {
    const std::string name = shard.is_text() ? shard.as_text() : std::string();
    if (!is_plain_file_name(name) || !name.ends_with(".safetensors"))
      fail_input(index.string() + ": tensor '" + tensor +
                 "' is not said to be in a .safetensors file beside the index");
    if (!contains(files, name)) fail_input(what + ": lacks " + name + ", which " + kIndex + " names");
    shards.insert(name);
  }
  return {shards.begin(), shards.end()};
}

}  // namespace

std::vector<std::string> small_files(const std::vector<std::string>& files) {
  Names wanted;
  std::copy_if(files.begin(), files.end(), std::back_inserter(wanted), [](const std::string& file) {
    return file.ends_with(".json") ||
           std::find(std::begin(kTokenizerFiles), std::end(kTokenizerFiles), file) != std::end(kTokenizerFiles);
  });
  return wanted;
}

std::vector<std::string> weight_files(const std::vector<std::string>& files, d2c_fetch_purpose purpose,
                                      const std::filesystem::path& snapshot, const std::string& what) {
  if (purpose == D2C_FETCH_ADAPTER) {
    if (!contains(files, kAdapter)) refuse(files, kAdapter, what);
    if (!contains(files, kAdapterConfig)) fail_input(what + ": has no " + kAdapterConfig);
    return {kAdapter};
  }
  if (contains(files, kModel)) return {kModel};
  if (contains(files, kIndex)) return shards_of(snapshot / kIndex, files, what);
  refuse(files, kModel, what);
}

}  // namespace d2c::hub
