// What of a run is finished and durable, so that a later run continues instead of starting over.
#pragma once

#include "host/workspace/journal.hpp"
#include "host/workspace/workspace.hpp"

#include <d2c/error.hpp>
#include <d2c/value.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host {

/// Units are recorded in batches, since making data durable is slow. Not thread-safe.
class ProgressRecord {
 public:
  struct Unit {
    std::string key;
    std::string digest;  ///< of everything that determines its bytes
    std::uint64_t bytes = 0;
  };

  /// Reads an earlier run's record and keeps what still holds. `sync` makes all bytes written so far durable.
  ProgressRecord(const std::filesystem::path& file, std::vector<Unit> units, std::function<void()> sync);

  /// What an earlier run noted about a unit; nothing where the unit is still to be done.
  [[nodiscard]] const std::optional<Value>& finished(std::size_t unit) const { return finished_.at(unit); }

  /// A unit's last byte was written. Every so often what was added is made durable.
  void add(std::size_t unit, Value note);

  /// After a failure: throws it again, and where continuing later is worth while, keeps the workspace and says so.
  [[noreturn]] void give_up(const Error& failure, Workspace& workspace, const std::string& units);

  /// How many units an earlier run had finished.
  [[nodiscard]] std::size_t resumed() const noexcept { return resumed_; }

 private:
  void flush();

  std::vector<Unit> units_;
  std::vector<std::optional<Value>> finished_;
  std::function<void()> sync_;
  std::unique_ptr<Journal> journal_;
  std::vector<JournalEntry> pending_;
  std::uint64_t pending_bytes_ = 0;
  std::chrono::steady_clock::time_point last_flush_ = std::chrono::steady_clock::now();
  std::size_t recorded_ = 0;
  std::size_t resumed_ = 0;
};

}  // namespace d2c::host
