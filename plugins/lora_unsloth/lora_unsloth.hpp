// PEFT and Unsloth LoRA adapters: one ordered stack over one base model.
#pragma once

#include "plugins/lora_unsloth/adapter.hpp"
#include "plugins/lora_unsloth/stack.hpp"

#include <d2c/plugin.hpp>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace d2c::lora {

class LoraUnsloth final : public AdapterMerger {
 public:
  static constexpr OptionSpec kOptions[] = {
      {"density", D2C_VALUE_REAL, "0.5", nullptr,
       "Share of each factor's elements that ties, dare_* and magnitude_prune keep."},
      {"majority_sign_method", D2C_VALUE_TEXT, "\"total\"", "[\"total\", \"frequency\"]",
       "How ties and dare_ties elect a sign: by the sum of the values, or of their signs."},
      {"seed", D2C_VALUE_INTEGER, "0", nullptr, "Of what dare_* drops at random."},
      {"svd_rank", D2C_VALUE_INTEGER, "0", nullptr, "Rank that svd keeps; 0: the largest of the adapters."},
  };

  LoraUnsloth(const Host& host, const Config& config);

  void bind(const BaseModel& base) override;
  [[nodiscard]] const std::vector<AdapterTarget>& targets() const override { return targets_; }
  [[nodiscard]] std::unique_ptr<MergeJob> begin(const std::string& tensor) override;
  [[nodiscard]] Factor factor(const std::string& tensor, d2c_factor_side side, bool with_values) const override;
  [[nodiscard]] const std::vector<std::string>& files() const override { return files_; }
  [[nodiscard]] const std::string& summary() const override { return summary_; }

 private:
  [[nodiscard]] const TensorChanges& changes_of(const std::string& tensor) const;

  Host host_;
  Combination combination_;
  std::vector<Adapter> adapters_;
  std::vector<std::string> files_;
  std::vector<TensorChanges> changes_;
  std::unordered_map<std::string, std::size_t> by_tensor_;
  std::vector<AdapterTarget> targets_;
  std::string summary_;
};

}  // namespace d2c::lora
