#include "host/workspace/progress_record.hpp"

#include <unordered_map>
#include <utility>

namespace d2c::host {
namespace {

constexpr std::uint64_t kFlushBytes = std::uint64_t{256} << 20;
constexpr std::chrono::seconds kFlushInterval{2};

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
}

void ProgressRecord::add(std::size_t unit, Value note) {
  pending_.push_back({units_[unit].key, units_[unit].digest, std::move(note)});
  pending_bytes_ += units_[unit].bytes;
  if (pending_bytes_ >= kFlushBytes || std::chrono::steady_clock::now() - last_flush_ >= kFlushInterval) flush();
}

void ProgressRecord::flush() {
  if (!pending_.empty()) {
    sync_();
    journal_->append(pending_);
    recorded_ += pending_.size();
  }
  pending_.clear();
  pending_bytes_ = 0;
  last_flush_ = std::chrono::steady_clock::now();
}

void ProgressRecord::give_up(const Error& failure, Workspace& workspace, const std::string& units) {
  if (!passes(failure)) throw failure;
  flush();
  if (recorded_ == 0) throw failure;
  workspace.keep();
  throw Error(failure.code(), std::string(failure.what()) + "; " + std::to_string(recorded_) + " of " +
                                  std::to_string(units_.size()) + " " + units + " are kept in " +
                                  workspace.folder().string() +
                                  ": the same command continues there, 'dolphin2coreml clean' removes it");
}

}  // namespace d2c::host
