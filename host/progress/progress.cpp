#include "host/progress/progress.hpp"

#include "host/log/log.hpp"
#include "host/platform/process.hpp"
#include "host/platform/terminal.hpp"
#include "host/progress/progress_text.hpp"

#include <unistd.h>

#include <atomic>
#include <mutex>

namespace d2c::host {
namespace {

using Clock = std::chrono::steady_clock;

class Silent final : public Progress {
 public:
  void begin(const std::string&, std::uint64_t, std::uint64_t) override {}
  void advance(std::uint64_t, bool) override {}
  void end() override {}
};

/// Counts without a lock; whoever finds the interval over draws.
class Drawn final : public Progress {
 public:
  explicit Drawn(bool live) : live_(live), interval_(live ? kLiveInterval : kPlainInterval) {}
  ~Drawn() override { remove_live(); }

  void begin(const std::string& phase, std::uint64_t total, std::uint64_t items) override {
    const std::lock_guard lock(mutex_);
    phase_ = phase;
    total_ = total;
    items_total_ = items;
    done_ = 0;
    items_done_ = 0;
    start_ = Clock::now();
    next_draw_ = (start_ + interval_).time_since_epoch().count();
    if (live_) draw();
  }

  void advance(std::uint64_t bytes, bool item_done) override {
    done_.fetch_add(bytes, std::memory_order_relaxed);
    if (item_done) items_done_.fetch_add(1, std::memory_order_relaxed);
    const Clock::rep now = Clock::now().time_since_epoch().count();
    Clock::rep due = next_draw_.load(std::memory_order_relaxed);
    if (now < due || !next_draw_.compare_exchange_strong(due, now + interval_.count())) return;
    const std::lock_guard lock(mutex_);
    if (!phase_.empty()) draw();
  }

  void end() override {
    const std::lock_guard lock(mutex_);
    if (phase_.empty()) return;
    remove_live();
    log::line(phase_summary(snapshot()));
    phase_.clear();
  }

 private:
  static constexpr Clock::duration kLiveInterval = std::chrono::milliseconds(100);
  static constexpr Clock::duration kPlainInterval = std::chrono::seconds(5);
  static constexpr int kPlainWidth = 200;

  [[nodiscard]] Snapshot snapshot() const {
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    return {phase_, done_, total_, items_done_, items_total_, elapsed.count(), resident_memory()};
  }

  void draw() const {
    if (live_) log::show_live(progress_text(snapshot(), terminal_width(STDERR_FILENO)));
    else log::line(progress_text(snapshot(), kPlainWidth));
  }

  void remove_live() const {
    if (live_) log::show_live({});
  }

  const bool live_;
  const Clock::duration interval_;
  std::mutex mutex_;
  std::string phase_;
  std::uint64_t total_ = 0;
  std::uint64_t items_total_ = 0;
  Clock::time_point start_;
  std::atomic<std::uint64_t> done_ = 0;
  std::atomic<std::uint64_t> items_done_ = 0;
  std::atomic<Clock::rep> next_draw_ = 0;
};

}  // namespace

std::unique_ptr<Progress> make_progress(bool quiet) {
  if (quiet) return std::make_unique<Silent>();
  return std::make_unique<Drawn>(is_live_terminal(STDERR_FILENO));
}

}  // namespace d2c::host
