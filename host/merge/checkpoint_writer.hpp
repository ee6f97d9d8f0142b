// Fills the files of a merged checkpoint: workers take tiles, and each reads, merges, rounds and writes its own.
#pragma once

#include "host/executor/executor.hpp"
#include "host/executor/merge_proof.hpp"
#include "host/merge/checkpoint_layout.hpp"
#include "host/platform/positioned_file.hpp"
#include "host/progress/progress.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

namespace d2c::host {

class CheckpointWriter {
 public:
  /// `on_finished(tensor, proof)` is called once per tensor, by one worker at a time, after its last byte was written.
  CheckpointWriter(const Source& source, const AdapterStack* stack, const CheckpointLayout& layout,
                   std::function<void(std::size_t, const MergeProof&)> on_finished);
  ~CheckpointWriter();

  /// Makes the files, or opens those that an earlier run left; their sizes and headers are set.
  void open(const std::filesystem::path& folder);
  /// Does every tensor in `wanted`. Rethrows the first failure after all workers have stopped; Error(interrupted) when a
  /// stop was requested.
  void run(unsigned threads, const std::vector<std::size_t>& wanted, Progress& progress);
  /// Makes all bytes written so far durable.
  void sync() const;

  /// How many workers fit in `max_memory`. `resident`: what the process holds before any of them starts.
  [[nodiscard]] MemoryPlan plan(unsigned threads, std::uint64_t max_memory, std::uint64_t resident) const;

 private:
  class Job;
  class Queue;

  void work(Queue& queue, Progress& progress);

  const Source& source_;
  const AdapterStack* stack_;
  const CheckpointLayout& layout_;
  std::function<void(std::size_t, const MergeProof&)> on_finished_;
  std::vector<std::unique_ptr<PositionedFile>> files_;
};

}  // namespace d2c::host
