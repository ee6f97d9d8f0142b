// A weight source that makes its weights up.
#pragma once

#include "plugins/source_synthetic/weight_generator.hpp"

#include <d2c/plugin.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace d2c::source_synthetic {

class SyntheticSource final : public WeightSource {
 public:
  static constexpr OptionSpec kOptions[] = {
      {"seed", D2C_VALUE_INTEGER, "0", nullptr, "Another seed makes other weights."},
      {"layers", D2C_VALUE_INTEGER, "0", nullptr, "Use only so many of the layers; 0 means all."},
  };
  /// 100 for "synthetic:...", else 0.
  static int probe(const char* path);

  explicit SyntheticSource(const Config& options);

  [[nodiscard]] const Value& config() const override { return config_; }
  [[nodiscard]] const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  /// Generated afresh each time.
  [[nodiscard]] View view(std::size_t tensor, std::int64_t first, std::int64_t count) const override;
  /// The config.json, or nothing: then TensorInfo::file (always 0) names no file.
  [[nodiscard]] const std::vector<std::string>& files() const override { return files_; }
  [[nodiscard]] const std::vector<Asset>& assets() const override { return assets_; }

 private:
  void keep_layers(std::int64_t layers);

  Value config_;
  std::vector<std::string> files_;
  std::vector<TensorInfo> tensors_;
  std::vector<Asset> assets_;
  WeightGenerator generator_;
};

}  // namespace d2c::source_synthetic
