#include "host/workspace/progress_record.hpp"

#include <chrono>
#include <unordered_map>
#include <utility>

namespace d2c::host {
namespace {

/// Between two times that data are made durable; a journal line for every small tensor would slow the disk down.
constexpr std::chrono::milliseconds kPause{100};

/// An interruption or a passing failure is worth continuing from; anything else would only fail again.
bool passes(const Error& e) {
  return e.code() == Code::interrupted || e.code() == Code::resource || e.code() == Code::network;
}

}  // namespace

ProgressRecord::ProgressRecord(const std::filesystem::path& file, std::vector<Unit> units, std::function<void()> sync)
    : units_(std::move(units)), finished_(units_.size()), sync_(std::move(sync)) {
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < units_.size(); ++i) index.emplace(units_[i].key, i);
  std::vector<JournalEntry> kept;
  for (JournalEntry& entry : Journal::read(file)) {
    const auto it = index.find(entry.key);
    if (it == index.end() || units_[it->second].digest != entry.digest || finished_[it->second]) continue;
    finished_[it->second] = entry.payload;
    kept.push_back(std::move(entry));
  }
  resumed_ = recorded_ = kept.size();
  journal_ = std::make_unique<Journal>(file, kept);
  recorder_ = std::jthread([this](const std::stop_token& stop) { record_in_background(stop); });
}

ProgressRecord::~ProgressRecord() { stop_recording(); }

void ProgressRecord::add(std::size_t unit, Value note) {
  const std::scoped_lock lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  pending_.push_back({units_[unit].key, units_[unit].digest, std::move(note)});
  added_.notify_one();
}

void ProgressRecord::record_in_background(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (added_.wait(lock, stop, [this] { return !pending_.empty(); })) {
    added_.wait_for(lock, stop, kPause, [] { return false; });
    if (stop.stop_requested()) return;
    const std::vector<JournalEntry> batch = std::exchange(pending_, {});
    lock.unlock();
    try {
      record(batch);
    } catch (...) {
      lock.lock();
      failure_ = std::current_exception();
      return;
    }
    lock.lock();
    recorded_ += batch.size();
  }
}

void ProgressRecord::record(std::span<const JournalEntry> batch) {
  sync_();
  journal_->append(batch);
}

void ProgressRecord::stop_recording() {
  recorder_.request_stop();
  if (recorder_.joinable()) recorder_.join();
}

void ProgressRecord::finish() {
  stop_recording();
  if (failure_) std::rethrow_exception(failure_);
}

void ProgressRecord::give_up(const Error& failure, Workspace& workspace, const std::string& units) {
  if (!passes(failure)) throw failure;
  stop_recording();
  if (!failure_ && !pending_.empty()) {
    try {
      record(pending_);
      recorded_ += std::exchange(pending_, {}).size();
    } catch (const Error&) {
      // The same disk fails again: what was recorded before still holds.
    }
  }
  if (recorded_ == 0) throw failure;
  workspace.keep();
  throw Error(failure.code(), std::string(failure.what()) + "; " + std::to_string(recorded_) + " of " +
                                  std::to_string(units_.size()) + " " + units + " are kept in " +
                                  workspace.folder().string() +
                                  ": the same command continues there, 'dolphin2coreml clean' removes it");
}

}  // namespace d2c::host
