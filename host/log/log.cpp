#include "host/log/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

namespace d2c::host::log {
namespace {

constexpr std::string_view kEraseLine = "\r\x1b[K";
constexpr std::string_view kNoColor = "\x1b[0m";

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    default: return spdlog::level::err;
  }
}

std::string_view color_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug: return "\x1b[2m";
    case spdlog::level::warn: return "\x1b[33m";
    case spdlog::level::err: return "\x1b[31m";
    default: return "\x1b[32m";
  }
}

/// stderr with a live line at its end.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void set_color(ColorMode mode) {
    const std::lock_guard lock(mutex_);
    colored_ = colors_wanted(STDERR_FILENO, mode);
  }

  void line(std::string_view text) {
    const std::lock_guard lock(mutex_);
    write_around_live(std::string(text) + "\n");
  }

  void show_live(std::string_view text) {
    const std::lock_guard lock(mutex_);
    if (text.empty() && live_.empty()) return;
    live_ = text;
    put(std::string(kEraseLine) + live_);
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t buffer;
    formatter_->format(message, buffer);
    std::string text(buffer.data(), buffer.size());
    if (colored_ && message.color_range_end > message.color_range_start) {
      text.insert(message.color_range_end, kNoColor);
      text.insert(message.color_range_start, color_of(message.level));
    }
    write_around_live(text);
  }

  void flush_() override {}

  void write_around_live(const std::string& text) {
    put(live_.empty() ? text : std::string(kEraseLine) + text + live_);
  }

  /// One call per text, so that lines of several processes on one stream stay whole.
  static void put(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  }

  std::string live_;
  bool colored_ = colors_wanted(STDERR_FILENO, ColorMode::automatic);
};

struct Output {
  std::shared_ptr<StderrSink> sink = std::make_shared<StderrSink>();
  spdlog::logger logger{"dolphin2coreml", sink};

  Output() {
    sink->set_pattern("%^%l%$: %v");
    logger.set_level(spdlog::level::info);
  }
};

/// Never destroyed: threads and plugins may log until the process ends.
Output& output() {
  static auto* const instance = new Output;
  return *instance;
}

}  // namespace

void set_level(Level level) { output().logger.set_level(to_spdlog(level)); }
void set_color(ColorMode mode) { output().sink->set_color(mode); }
void write(Level level, std::string_view text) {
  output().logger.log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}
void line(std::string_view text) { output().sink->line(text); }
void show_live(std::string_view text) { output().sink->show_live(text); }

}  // namespace d2c::host::log
