#include "plugins/source_safetensors/safetensors_source.hpp"

#include "libs/json/json.hpp"
#include "libs/whole_file/whole_file.hpp"

#include <d2c/error.hpp>

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

namespace d2c::source_safetensors {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAssetNames[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
};
constexpr std::uintmax_t kMaxAssetBytes = 256u << 20;

Value read_config(const fs::path& path) {
  Value config = json::parse_file(path.string());
  if (!config.is_table()) fail_input(path.string() + ": is not a JSON object");
  if (const Value* quantization = config.find("quantization_config")) {
    const Value* method = quantization->find("quant_method");
    const std::string name = method != nullptr && method->is_text() ? method->as_text() : "an unnamed method";
    fail_input(path.string() + ": the weights are already quantized (quantization_config: " + name +
               "); use the unquantized checkpoint it was made from");
  }
  return config;
}

/// Index and shards must agree on where every tensor is.
void check_against_index(const CheckpointFiles& checkpoint, const std::vector<safetensors::File>& shards) {
  const std::string index = checkpoint.index.string();
  for (const auto& [tensor, shard] : checkpoint.shard_of)
    if (shards[shard].find(tensor) == nullptr)
      fail_input(index + ": tensor '" + tensor + "' is said to be in " + checkpoint.shards[shard].filename().string() +
                 ", which does not hold it; index and shards are of different versions, fetch them again");
  for (std::size_t s = 0; s < shards.size(); ++s) {
    for (const safetensors::Tensor& t : shards[s].tensors()) {
      const auto entry = checkpoint.shard_of.find(t.name);
      const std::string shard = checkpoint.shards[s].filename().string();
      if (entry == checkpoint.shard_of.end())
        fail_input(index + ": does not list tensor '" + t.name + "' of " + shard +
                   "; index and shards are of different versions, fetch them again");
      if (entry->second != s)
        fail_input(index + ": tensor '" + t.name + "' is in " + shard + " and in " +
                   checkpoint.shards[entry->second].filename().string() +
                   "; remove the stale shard or fetch both again");
    }
  }
}

}  // namespace

SafetensorsSource::SafetensorsSource(const Config& options) {
  const CheckpointFiles checkpoint = find_checkpoint(options.require_text("path"));
  config_ = read_config(checkpoint.directory / "config.json");
  open_shards(checkpoint);
  if (!checkpoint.index.empty()) files_.push_back(checkpoint.index.string());
  load_assets(checkpoint.directory);
}

View SafetensorsSource::view(std::size_t tensor, std::int64_t first, std::int64_t count) const {
  const safetensors::Tensor& t = *tensors_.at(tensor);
  const safetensors::File& file = shards_[infos_[tensor].file];
  const std::int64_t rows = rows_of(t.shape);
  if (first < 0 || count < 0 || first > rows || count > rows - first)
    fail(Code::plugin, file.path() + ": tensor '" + t.name + "' has " + std::to_string(rows) + " rows; " +
                           std::to_string(count) + " from " + std::to_string(first) + " were asked for");
  const auto row_bytes = static_cast<std::uint64_t>(bytes_of(t.require_dtype(file.path()), columns_of(t.shape)));
  return file.map(t, static_cast<std::uint64_t>(first) * row_bytes, static_cast<std::uint64_t>(count) * row_bytes);
}

void SafetensorsSource::open_shards(const CheckpointFiles& checkpoint) {
  shards_.reserve(checkpoint.shards.size());
  for (const fs::path& path : checkpoint.shards) {
    shards_.emplace_back(path.string());
    files_.push_back(path.string());
  }
  if (!checkpoint.index.empty()) check_against_index(checkpoint, shards_);
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    for (const safetensors::Tensor& t : shards_[s].tensors()) {
      infos_.push_back({t.name, {t.dtype, t.shape}, static_cast<std::uint32_t>(s)});
      tensors_.push_back(&t);
    }
  }
}

void SafetensorsSource::load_assets(const fs::path& directory) {
  for (const char* name : kAssetNames) {
    const fs::path path = directory / name;
    std::error_code ignored;
    if (!fs::exists(path, ignored)) continue;
    assets_.push_back({name, read_whole_file(path.string(), kMaxAssetBytes)});
    files_.push_back(path.string());
  }
}

}  // namespace d2c::source_safetensors
