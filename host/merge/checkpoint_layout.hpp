// A merged checkpoint laid out: which tensors, of which type, in which file and at which byte; nothing read yet.
#pragma once

#include "host/planner/adapter_stack.hpp"
#include "host/planner/source.hpp"
#include "libs/safetensors/writer.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host {

/// One tensor of the result.
struct MergedTensor {
  std::string name;
  std::size_t source_tensor = 0;  ///< whose rows it starts from
  TensorType type;
  std::vector<std::string> targets;  ///< what the stack knows it as, in the order of merging; empty: copied
  std::size_t shard = 0;
  std::size_t entry = 0;  ///< in its shard
};

struct ShardFile {
  std::string file;
  safetensors::FileLayout layout;
};

class CheckpointLayout {
 public:
  /// `stack` may be null, and must be bound with TiedPolicy::untie: whether a tied head becomes a tensor of its own is
  /// decided here. `dtype`: of every floating-point tensor; absent: as in the source. Error(input) where the policy
  /// leaves no way to merge an adapter of the head.
  CheckpointLayout(const Source& source, const AdapterStack* stack, TiedPolicy tied, std::optional<DType> dtype,
                   std::uint64_t max_shard_bytes);

  [[nodiscard]] const std::vector<MergedTensor>& tensors() const noexcept { return tensors_; }
  [[nodiscard]] const std::vector<ShardFile>& shards() const noexcept { return shards_; }
  /// Embedding and head were one tensor and no longer are.
  [[nodiscard]] bool untied() const noexcept { return untied_; }
  /// Of all files of weights.
  [[nodiscard]] std::uint64_t bytes() const;
  /// model.safetensors.index.json; empty for a single file.
  [[nodiscard]] std::string index() const;

 private:
  void choose_tensors(const Source& source, const AdapterStack* stack, TiedPolicy tied, std::optional<DType> dtype);
  void fill_shards(std::uint64_t max_shard_bytes);

  std::vector<MergedTensor> tensors_;
  std::vector<ShardFile> shards_;
  bool untied_ = false;
};

}  // namespace d2c::host
