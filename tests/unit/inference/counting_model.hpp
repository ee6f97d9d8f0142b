// Opens the counting runner, and computes its logits by hand.
#pragma once

#include "host/inference/model.hpp"

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

inline constexpr std::int64_t kCountingContext = 12;

class CountingModel {
 public:
  explicit CountingModel(const std::string& functions = "init,decode,encode", const RunnerOptions& options = {})
      : plugins_(folders(), {}), model_(plugins_, "counting:" + functions, options) {}
  [[nodiscard]] const Model& get() const noexcept { return model_; }

 private:
  static std::vector<std::filesystem::path> folders() { return {COUNTING_RUNNER}; }
  PluginRegistry plugins_;
  Model model_;
};

inline std::int32_t next_after(std::span<const std::int32_t> tokens) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) sum += tokens[i] * static_cast<std::int32_t>(i + 1);
  return sum % 16;
}

}  // namespace d2c::host
