// A conversion from recipe to published package: plan, then execute, then publish.
#pragma once

#include "host/convert/shard.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/progress/progress.hpp"
#include "host/recipe/recipe.hpp"

#include <d2c/value.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

namespace d2c::host {

struct RunOptions {
  std::filesystem::path output;                       ///< empty: the recipe's output.path
  bool force = false;                                 ///< replace an existing output
  bool resume = true;                                 ///< continue an interrupted run; false starts afresh
  bool keep_temporary = false;                        ///< leave the workspace, whatever becomes of the run
  unsigned threads = 0;                               ///< 0: all cores
  std::uint64_t max_memory = std::uint64_t{1} << 30;  ///< bound on resident memory, bytes
  std::optional<Shard> shard;                         ///< make this part of the output only
};

/// Opening a Conversion reads headers only and does everything that can fail without reading a weight: options are
/// checked, adapters matched, graphs built, every byte of the output laid out.
///
/// Reports are values with stable keys (docs/reports.md), printed by the command line and by `--json`.
class Conversion {
 public:
  Conversion(const Recipe& recipe, PluginRegistry& plugins);
  ~Conversion();
  Conversion(const Conversion&) = delete;
  Conversion& operator=(const Conversion&) = delete;

  /// What would be done. Keys: "recipe", "model", "functions" [{name, inputs, states, outputs [{name, type}], ops}],
  /// "weights" [{key, name, role, shape, padded_rows, scheme, bits, bytes}], "roles" [{role, scheme, tensors, elements,
  /// bytes, bits_per_weight}], "weight_bytes" (exact size of the weight file), "elements", "bits_per_weight",
  /// "memory" {bytes, threads}, "disk_bytes", "bytes_read", "adapters" [text], "notes" [text].
  [[nodiscard]] Value plan(const RunOptions& options) const;

  /// Runs it. The plan's keys (weights with "squared_error", "relative_error", "groups", "groups_certified" added) and "package"
  /// (path), "seconds", "peak_memory", "rounding" {overflowed, underflowed, ...}, "time" {read, merge, quantize, write}.
  /// On any error nothing is left at the output, and nothing beside it but a promised resume folder.
  Value run(const RunOptions& options, Progress& progress);

  /// Joins the parts that runs with `shard` left beside the output, which then has the bytes of a single run, and removes
  /// them. The same report without "time".
  Value assemble(const RunOptions& options, Progress& progress);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2c::host
