// Runs a plan: a fixed pool of workers takes tiles, and each reads, merges, quantizes and writes its own.
#pragma once

#include "host/executor/merge_proof.hpp"
#include "host/executor/weight_stream.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/planner/weight_table.hpp"
#include "host/progress/progress.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace d2c::host {

/// What was done to one weight, summed in tile order so that threads never change a digit.
struct WeightResult {
  bool done = false;
  d2c_tile_stats stats{};
  numeric::RoundingStats rounding;
  std::optional<MergeProof> merge;  ///< of merged weights whose storage can be read back
};

/// How many workers run and how much memory they may take together.
struct MemoryPlan {
  unsigned threads = 1;
  std::uint64_t bytes = 0;  ///< resident memory expected at the peak
};

/// Bytes that a run takes beside what the process holds already.
struct WorkerNeeds {
  std::uint64_t per_worker = 0;  ///< largest working set of any tile
  std::uint64_t open = 0;        ///< largest memory of an open weight
};

/// As many of `threads` workers as `max_memory` has room for. Error(resource) naming the smallest bound that works where
/// not even one fits. `resident`: what the process holds before any worker starts.
[[nodiscard]] MemoryPlan plan_workers(unsigned threads, std::uint64_t max_memory, std::uint64_t resident,
                                      const WorkerNeeds& needs);

/// Memory needed with `threads` workers; fewer where `max_memory` forces it. Error(resource) naming the smallest bound
/// that works where not even one fits. `resident`: what the process holds before any worker starts.
[[nodiscard]] MemoryPlan plan_memory(std::span<const std::unique_ptr<PlannedWeight>> weights, unsigned threads,
                                     std::uint64_t max_memory, std::uint64_t resident);

/// Work beside the weights, in steps that follow one another.
struct Errand {
  std::size_t steps = 0;
  std::function<void(StageTimes&)> step;  ///< does the next one
};

/// Takes bytes of a weight's plane, at their offset in it, from any thread.
using WritePlane = std::function<void(std::size_t weight, std::uint32_t plane, std::uint64_t offset,
                                      std::span<const std::byte> bytes)>;

class Executor {
 public:
  using Weights = std::span<const std::unique_ptr<PlannedWeight>>;

  /// `on_finished(weight index, result)` is called once per weight, by one worker at a time, after its last byte was written.
  Executor(Weights weights, WritePlane write, std::function<void(std::size_t, const WeightResult&)> on_finished);
  ~Executor();

  /// Does every weight that `results` does not call done, in the order in which their sources list them, and the errands
  /// at the same pace, one after the other as far as that goes. Rethrows the first failure after all workers have stopped;
  /// Error(interrupted) when a stop was requested.
  void run(const MemoryPlan& memory, std::vector<WeightResult>& results, std::span<const Errand> errands,
           Progress& progress);

  [[nodiscard]] const StageTimes& times() const noexcept { return times_; }

 private:
  struct OpenWeight;
  class Schedule;

  void work(Schedule& schedule, Progress& progress);
  std::unique_ptr<OpenWeight> open(std::size_t index, Scratch& scratch, StageTimes& times) const;
  void do_tile(OpenWeight& weight, std::int64_t tile, Scratch& scratch, StageTimes& times) const;
  void keep_whole_planes(OpenWeight& weight, Scratch& scratch, StageTimes& times) const;
  void prove(OpenWeight& weight, std::int64_t tile, const Scratch& scratch, std::span<void* const> planes) const;
  void write_planes(const OpenWeight& weight, std::int64_t tile, std::span<void* const> planes) const;

  Weights weights_;
  WritePlane write_;
  std::function<void(std::size_t, const WeightResult&)> on_finished_;
  StageTimes times_;
};

}  // namespace d2c::host
