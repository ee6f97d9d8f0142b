// A Hugging Face checkpoint stored as safetensors, as a weight source.
#pragma once

#include "libs/safetensors/safetensors.hpp"
#include "plugins/source_safetensors/checkpoint_files.hpp"

#include <d2c/plugin.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace d2c::source_safetensors {

class SafetensorsSource final : public WeightSource {
 public:
  static int probe(const char* path) { return probe_checkpoint(path); }

  explicit SafetensorsSource(const Config& options);

  [[nodiscard]] const Value& config() const override { return config_; }
  [[nodiscard]] const std::vector<TensorInfo>& tensors() const override { return infos_; }
  [[nodiscard]] View view(std::size_t tensor, std::int64_t first, std::int64_t count) const override;
  [[nodiscard]] const std::vector<std::string>& files() const override { return files_; }
  [[nodiscard]] const std::vector<Asset>& assets() const override { return assets_; }

 private:
  void open_shards(const CheckpointFiles& checkpoint);
  void load_assets(const std::filesystem::path& directory);

  Value config_;
  std::vector<safetensors::File> shards_;
  std::vector<TensorInfo> infos_;
  std::vector<const safetensors::Tensor*> tensors_;  // infos_[i] describes *tensors_[i]
  std::vector<std::string> files_;
  std::vector<Asset> assets_;
};

}  // namespace d2c::source_safetensors
