// One ordered stack of adapters, bound to the base it changes.
#pragma once

#include "host/loader/plugin_registry.hpp"
#include "host/planner/source.hpp"

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace d2c::host {

/// What an adapter of a tied embedding or head changes: that one alone, or both as the one tensor they are.
enum class TiedPolicy { untie, shared };

/// The merge of one tensor by a stack.
class MergeTask {
 public:
  MergeTask(const Handle<d2c_adapter_merger>& merger, const std::string& tensor);
  MergeTask(const MergeTask&) = delete;
  MergeTask& operator=(const MergeTask&) = delete;
  ~MergeTask();

  void observe(std::int64_t first_row, std::int64_t rows, const float* weights);
  /// Thread-safe; in place.
  void process(std::int64_t first_row, std::int64_t rows, float* weights);

 private:
  const Handle<d2c_adapter_merger>& merger_;
  void* job_ = nullptr;
};

class AdapterStack {
 public:
  /// Binds the merger to `base`; adapters that do not fit are Error(input). With TiedPolicy::shared a tied head is no
  /// tensor of its own, so that an adapter of the head is one that does not fit.
  AdapterStack(std::string name, Handle<d2c_adapter_merger> merger, const Source& base, TiedPolicy tied);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Null where the stack leaves the tensor alone.
  [[nodiscard]] const AdapterTarget* target(const std::string& tensor) const;
  [[nodiscard]] const std::vector<AdapterTarget>& targets() const noexcept { return targets_; }
  /// Once merged; more rows than `base` has where a vocabulary grew.
  [[nodiscard]] Shape merged_shape(const std::string& tensor, Shape base) const;
  /// Rows of embedding and head where they grew, otherwise nothing.
  [[nodiscard]] std::optional<std::int64_t> grown_vocabulary() const;
  /// Every change is a low-rank product, so it can stay unmerged.
  [[nodiscard]] bool low_rank() const;
  [[nodiscard]] std::string summary() const { return merger_->summary(merger_->self); }
  [[nodiscard]] std::vector<std::string> files() const;
  [[nodiscard]] const Handle<d2c_adapter_merger>& merger() const noexcept { return merger_; }

  [[nodiscard]] Shape factor_shape(const std::string& tensor, d2c_factor_side side) const;
  [[nodiscard]] std::vector<float> factor(const std::string& tensor, d2c_factor_side side) const;

 private:
  void check_rows(const AdapterTarget& target, const std::vector<d2c_tensor_info>& tensors) const;

  std::string name_;
  Handle<d2c_adapter_merger> merger_;
  std::vector<AdapterTarget> targets_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace d2c::host
