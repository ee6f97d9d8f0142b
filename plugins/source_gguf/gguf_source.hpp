// The weight source for GGUF files of the Llama architecture.
#pragma once

#include "plugins/source_gguf/bytes.hpp"
#include "plugins/source_gguf/llama_model.hpp"

#include <d2c/plugin.hpp>

#include <memory>
#include <string>
#include <vector>

namespace d2c::source_gguf {

/// Weights under their Hugging Face names; block-quantized ones are dequantized row by row when they are viewed.
class GgufSource final : public WeightSource {
 public:
  static int probe(const char* path);

  GgufSource(const Host& host, const Config& options);
  GgufSource(const Host& host, std::unique_ptr<const ByteSource> bytes);

  [[nodiscard]] const Value& config() const override { return config_; }
  [[nodiscard]] const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  [[nodiscard]] View view(std::size_t tensor, std::int64_t first, std::int64_t count) const override;
  [[nodiscard]] const std::vector<std::string>& files() const override { return files_; }
  [[nodiscard]] const std::vector<Asset>& assets() const override { return assets_; }

 private:
  std::unique_ptr<const ByteSource> bytes_;
  Value config_;
  std::vector<Weight> weights_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::string> files_;
  std::vector<Asset> assets_;
};

}  // namespace d2c::source_gguf
