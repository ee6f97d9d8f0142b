// What of a run is finished and durable, so that a later run continues instead of starting over.
#pragma once

#include "host/workspace/journal.hpp"
#include "host/workspace/workspace.hpp"

#include <d2c/error.hpp>
#include <d2c/value.hpp>

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace d2c::host {

/// Making data durable is slow, so a thread of its own does it, again and again for all that was added meanwhile: a run
/// that is killed loses what it finished in the last moments, and no worker waits for the disk. Members are not thread-safe.
class ProgressRecord {
 public:
  struct Unit {
    std::string key;
    std::string digest;  ///< of everything that determines its bytes
  };

  /// Reads an earlier run's record and keeps what still holds. `sync` makes all bytes written so far durable, while
  /// others may be written.
  ProgressRecord(const std::filesystem::path& file, std::vector<Unit> units, std::function<void()> sync);
  /// Does not wait for what is not durable yet.
  ~ProgressRecord();

  /// What an earlier run noted about a unit; nothing where the unit is still to be done.
  [[nodiscard]] const std::optional<Value>& finished(std::size_t unit) const { return finished_.at(unit); }

  /// A unit's last byte was written. Error(resource) where an earlier one could not be made durable.
  void add(std::size_t unit, Value note);

  /// No unit will be added any more. Error(resource) where something could not be made durable: a disk that failed to take
  /// data once may have lost them, whatever it says when it is asked again.
  void finish();

  /// After a failure: throws it again, and where continuing later is worth while, keeps the workspace and says so.
  [[noreturn]] void give_up(const Error& failure, Workspace& workspace, const std::string& units);

  /// How many units an earlier run had finished.
  [[nodiscard]] std::size_t resumed() const noexcept { return resumed_; }

 private:
  void record_in_background(const std::stop_token& stop);
  void record(std::span<const JournalEntry> batch);
  void stop_recording();

  std::vector<Unit> units_;
  std::vector<std::optional<Value>> finished_;
  std::function<void()> sync_;
  std::unique_ptr<Journal> journal_;
  std::size_t resumed_ = 0;

  std::mutex mutex_;  // of what follows
  std::condition_variable_any added_;
  std::vector<JournalEntry> pending_;
  std::exception_ptr failure_;
  std::size_t recorded_ = 0;
  std::jthread recorder_;
};

}  // namespace d2c::host
