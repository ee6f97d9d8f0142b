// What of a conversion is finished and durable, so that a later run continues instead of starting over.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/executor/executor.hpp"
#include "host/workspace/journal.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace d2c::host {

/// Weights are recorded in batches, since making data durable is slow. Not thread-safe.
class ProgressRecord {
 public:
  /// Reads an earlier run's record, keeps what still holds, and marks those weights done in `results`.
  ProgressRecord(const std::filesystem::path& file, const Assembly& assembly, std::vector<std::string> digests,
                 std::vector<WeightResult>& results);

  /// A weight's last byte was written. Every so often what was added is made durable.
  void add(std::size_t weight, const WeightResult& result);
  /// Makes everything added durable.
  void flush();

  /// Weights that a later run will find finished.
  [[nodiscard]] std::size_t recorded() const noexcept { return recorded_; }
  /// Of those, how many an earlier run had finished.
  [[nodiscard]] std::size_t resumed() const noexcept { return resumed_; }

 private:
  const Assembly& assembly_;
  std::vector<std::string> digests_;
  std::unique_ptr<Journal> journal_;
  std::vector<JournalEntry> pending_;
  std::uint64_t pending_bytes_ = 0;
  std::chrono::steady_clock::time_point last_flush_ = std::chrono::steady_clock::now();
  std::size_t recorded_ = 0;
  std::size_t resumed_ = 0;
};

}  // namespace d2c::host
