// One adapter: its folder, its config, and what its tensors change in a base model.
#pragma once

#include "plugins/lora_unsloth/base_index.hpp"
#include "plugins/lora_unsloth/config.hpp"
#include "plugins/lora_unsloth/merge.hpp"

#include "libs/safetensors/safetensors.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace d2c::lora {

class Adapter {
 public:
  /// Opens DIRECTORY/adapter_config.json and adapter_model.safetensors. `weight` multiplies the change.
  Adapter(const std::string& directory, double weight);

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  /// The folder's own name, for reports.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] double weight() const noexcept { return weight_; }
  [[nodiscard]] const AdapterConfig& config() const noexcept { return config_; }
  [[nodiscard]] std::vector<std::string> files() const;

  /// Matches every tensor of the file and every target of the config with the base: what changes, in the base's order.
  /// Anything left over, missing, misshapen or not finite is Error(input).
  [[nodiscard]] std::vector<TensorChanges> bind(const BaseIndex& base) const;

 private:
  std::string directory_;
  double weight_;
  AdapterConfig config_;
  std::shared_ptr<const safetensors::File> file_;
};

}  // namespace d2c::lora
