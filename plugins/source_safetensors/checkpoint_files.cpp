#include "plugins/source_safetensors/checkpoint_files.hpp"

#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

namespace d2c::source_safetensors {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kSuffix = ".safetensors";

bool present(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

/// Names in a directory that end in `suffix`, sorted.
std::vector<std::string> names_ending_in(const fs::path& directory, std::string_view suffix) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ignored))
    if (std::string name = entry.path().filename().string(); name.ends_with(suffix)) names.push_back(std::move(name));
  std::ranges::sort(names);
  return names;
}

[[noreturn]] void refuse_directory(const fs::path& directory) {
  const std::string where = directory.string();
  std::error_code error;
  const fs::directory_iterator readable(directory, error);
  if (error) fail_input(where + ": cannot be listed: " + error.message());
  if (present(directory / "adapter_config.json"))
    fail_input(where + ": holds a LoRA adapter, not a model; pass it as an adapter and its base model as the model");
  if (const auto others = names_ending_in(directory, kSuffix); !others.empty())
    fail_input(where + ": has neither " + kSingle + " nor " + kIndex + "; if " + others.front() +
               " is the whole model, pass " + (directory / others.front()).string());
  if (const auto pickles = names_ending_in(directory, ".bin"); !pickles.empty())
    fail_input(where + ": weights are stored only as pickle (" + pickles.front() +
               "), which can run code when read; convert them in Python: "
               "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT, safe_serialization=True)");
  fail_input(where + ": has neither " + kSingle + " nor " + kIndex + "; is the download complete?");
}

/// A shard's name comes from a file that anybody may have written: it must stay inside the checkpoint's folder.
/// Symbolic links are followed, because Hugging Face's cache is made of them.
void check_shard_name(const std::string& name, const std::string& tensor, const fs::path& index) {
  if (name.empty() || name.find_first_of("/\\") != std::string::npos || name.find('\0') != std::string::npos ||
      name == "..")
    fail_input(index.string() + ": tensor '" + tensor + "' is said to be in '" + name +
               "', which is no plain file name; a shard must lie beside the index. Get the checkpoint from a source "
               "you trust");
  if (!name.ends_with(kSuffix))
    fail_input(index.string() + ": tensor '" + tensor + "' is said to be in '" + name + "', which is no " + kSuffix +
               " file");
}

/// Shard names by tensor name, every name checked and every file there.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  std::error_code ignored;
  if (!fs::is_regular_file(index, ignored)) fail_input(index.string() + ": is not a regular file");
  const Value root = json::parse_file(index.string());
  const Value* weight_map = root.find("weight_map");
  if (weight_map == nullptr || !weight_map->is_table())
    fail_input(index.string() + ": has no \"weight_map\" object; fetch the file again");
  std::map<std::string, std::string> shard_names;
  for (const auto& [tensor, shard] : weight_map->members()) {
    if (!shard.is_text()) fail_input(index.string() + ": the shard of tensor '" + tensor + "' is not a file name");
    check_shard_name(shard.as_text(), tensor, index);
    if (!present(index.parent_path() / shard.as_text()))
      fail_input(index.string() + ": tensor '" + tensor + "' is in " + shard.as_text() + ", which is missing from " +
                 index.parent_path().string() + "; complete the download");
    shard_names.emplace(tensor, shard.as_text());
  }
  if (shard_names.empty()) fail_input(index.string() + ": \"weight_map\" is empty; fetch the file again");
  return shard_names;
}

CheckpointFiles find_sharded(const fs::path& directory) {
  CheckpointFiles files{.directory = directory, .shards = {}, .index = directory / kIndex, .shard_of = {}};
  const std::map<std::string, std::string> shard_names = read_weight_map(files.index);
  std::set<std::string> distinct;
  for (const auto& [tensor, shard] : shard_names) distinct.insert(shard);
  std::map<std::string, std::size_t> position;
  for (const std::string& shard : distinct) {
    position.emplace(shard, files.shards.size());
    files.shards.push_back(directory / shard);
  }
  for (const auto& [tensor, shard] : shard_names) files.shard_of.emplace(tensor, position.at(shard));
  return files;
}

}  // namespace

CheckpointFiles find_checkpoint(const fs::path& path) {
  if (!present(path)) fail_input(path.string() + ": no such file or directory");
  const fs::path absolute = fs::absolute(path);
  const bool whole_directory = is_folder(absolute);
  const fs::path directory = whole_directory ? absolute : absolute.parent_path();
  if (whole_directory && !present(directory / kSingle) && !present(directory / kIndex)) refuse_directory(directory);
  if (!present(directory / "config.json"))
    fail_input(directory.string() + ": has no config.json; put the model's config.json beside its weights");
  if (!whole_directory) return {directory, {absolute}, {}, {}};
  if (present(directory / kSingle)) return {directory, {directory / kSingle}, {}, {}};
  return find_sharded(directory);
}

int probe_checkpoint(const fs::path& path) {
  if (!is_folder(path)) return path.extension() == kSuffix && present(path) ? 80 : 0;
  const bool weights = present(path / kSingle) || present(path / kIndex);
  const bool config = present(path / "config.json");
  if (weights && config) return 90;
  // Half a checkpoint still comes here: the refusal on opening says what is missing.
  const bool any_weights = weights || !names_ending_in(path, kSuffix).empty() || !names_ending_in(path, ".bin").empty();
  return weights || (config && any_weights) ? 50 : 0;
}

}  // namespace d2c::source_safetensors
