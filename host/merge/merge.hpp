// A merge from model and adapters to a published Hugging Face checkpoint.
#pragma once

#include "host/convert/conversion.hpp"
#include "host/convert/model_inputs.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/merge/checkpoint_layout.hpp"
#include "host/merge/checkpoint_writer.hpp"
#include "host/progress/progress.hpp"
#include "host/recipe/recipe.hpp"

#include <d2c/value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host {

class Workspace;

struct MergeOptions {
  std::string dtype = "source";  ///< "source", "fp16", "bf16" or "fp32"
  std::uint64_t max_shard_bytes = std::uint64_t{5} << 30;
};

/// The stack "chat" of a recipe, merged into its model. Opening a Merge reads headers only and does everything that can
/// fail without reading a weight: the model and its adapters are checked, every byte of the output laid out.
///
/// Tensors that no adapter changes keep their bytes; the others are computed in fp32 and rounded once.
class Merge {
 public:
  Merge(const Recipe& recipe, PluginRegistry& plugins, const MergeOptions& options);

  /// Keys: "model", "adapters" [text], "untied", "files" [{name, bytes}], "bytes", "tensors", "changed" [{name,
  /// delta_norm, relative_norm, share, cosine}], "merge" (the same over all), "notes", "output" (path), "seconds",
  /// "memory", "peak_memory". On any error nothing is left at the output, and nothing beside it but a promised resume
  /// folder.
  Value run(const RunOptions& options, Progress& progress);

 private:
  void produce(const RunOptions& options, const MemoryPlan& memory, Workspace& workspace, Progress& progress);
  void check_sources() const;
  void write_companions(const std::filesystem::path& folder) const;
  [[nodiscard]] Value config() const;
  [[nodiscard]] std::vector<std::string> unit_digests() const;
  [[nodiscard]] Value report() const;

  Recipe recipe_;
  ModelInputs inputs_;
  std::optional<DType> dtype_;
  CheckpointLayout layout_;
  std::vector<std::string> identities_;  ///< of the files read, as they were when work began
  std::vector<MergeProof> proofs_;
};

}  // namespace d2c::host
