#include "host/progress/progress_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

namespace d2c::host {
namespace {

/// A rate means nothing before that.
constexpr double kLeastSeconds = 0.5;

std::string two_digits(std::uint64_t v) {
  std::string text = std::to_string(v);
  if (text.size() < 2) text.insert(0, 1, '0');
  return text;
}

double rate_of(const Snapshot& s) { return s.seconds < kLeastSeconds ? 0 : static_cast<double>(s.done) / s.seconds; }

std::string percent_text(const Snapshot& s) {
  if (s.total == 0) return {};
  // Rounded down: 100% is said only when all is done.
  return std::to_string(
             static_cast<int>(100.0 * std::min(1.0, static_cast<double>(s.done) / static_cast<double>(s.total)))) +
         "%";
}

std::string rate_text(const Snapshot& s) {
  const double rate = rate_of(s);
  return rate < 1 ? std::string() : size_text(static_cast<std::uint64_t>(rate)) + "/s";
}

std::string remaining_text(const Snapshot& s) {
  const double rate = rate_of(s);
  if (rate < 1 || s.done >= s.total) return {};
  return duration_text(static_cast<double>(s.total - s.done) / rate) + " left";
}

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts)
    if (!part.empty()) text += (text.empty() ? "" : "  ") + part;
  return text;
}

}  // namespace

std::string size_text(std::uint64_t bytes) {
  static constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // 999.5 would print as 1000.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", decimals, value, kUnits.at(unit));
  return text.data();
}

std::string duration_text(double seconds) {
  constexpr double kLongest = 1e9;
  const auto s = static_cast<std::uint64_t>(std::lround(std::clamp(seconds, 0.0, kLongest)));
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return std::to_string(s / 60) + ":" + two_digits(s % 60);
  return std::to_string(s / 3600) + ":" + two_digits(s / 60 % 60) + ":" + two_digits(s % 60);
}

std::string progress_text(const Snapshot& s, int width) {
  const std::string bytes = s.total == 0 ? std::string() : size_text(s.done) + " of " + size_text(s.total);
  const std::string items = s.items_total == 0
                                ? std::string()
                                : std::to_string(s.items_done) + "/" + std::to_string(s.items_total) + " tensors";
  const std::string memory = s.memory == 0 ? std::string() : size_text(s.memory) + " memory";
  std::vector<std::string> parts = {s.phase, bytes, percent_text(s), rate_text(s), remaining_text(s), items, memory};
  static constexpr std::array kLeastImportantFirst = {5, 6, 3, 1, 4, 2};
  const auto room = static_cast<std::size_t>(std::max(width - 1, 0));
  for (const int part : kLeastImportantFirst) {
    if (join(parts).size() <= room) break;
    parts[static_cast<std::size_t>(part)].clear();
  }
  return join(parts).substr(0, room);
}

std::string phase_summary(const Snapshot& s) {
  std::vector<std::string> amounts;
  if (s.done != 0) amounts.push_back(size_text(s.done));
  if (s.items_done != 0) amounts.push_back(std::to_string(s.items_done) + " tensors");
  std::string text = s.phase + ":";
  for (std::size_t i = 0; i < amounts.size(); ++i) text += (i == 0 ? " " : ", ") + amounts[i];
  text += " in " + duration_text(s.seconds);
  const std::string rate = rate_text(s);
  return rate.empty() ? text : text + " (" + rate + ")";
}

}  // namespace d2c::host
