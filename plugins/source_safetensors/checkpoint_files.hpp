// Finds the files of a Hugging Face checkpoint, without opening a shard.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace d2c::source_safetensors {

struct CheckpointFiles {
  std::filesystem::path directory;              ///< absolute
  std::vector<std::filesystem::path> shards;    ///< absolute; sorted
  std::filesystem::path index;                  ///< empty for a single file
  std::map<std::string, std::size_t> shard_of;  ///< index into `shards` by tensor name; empty for a single file
};

/// `path` is a checkpoint directory or one .safetensors file with config.json beside it. Anything amiss is Error(input)
/// with the remedy.
[[nodiscard]] CheckpointFiles find_checkpoint(const std::filesystem::path& path);

/// How surely `path` is for this plugin, 0..100.
[[nodiscard]] int probe_checkpoint(const std::filesystem::path& path);

}  // namespace d2c::source_safetensors
