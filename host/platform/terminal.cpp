#include "host/platform/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace d2c::host {
namespace {

constexpr int kDefaultWidth = 80;
constexpr int kWidestSensible = 1000;

std::string_view environment(const char* name) noexcept {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

bool is_sensible(int width) noexcept { return width > 0 && width <= kWidestSensible; }

}  // namespace

bool is_terminal(int fd) noexcept { return isatty(fd) == 1; }

bool is_live_terminal(int fd) noexcept {
  const std::string_view term = environment("TERM");
  return is_terminal(fd) && !term.empty() && term != "dumb";
}

int terminal_width(int fd) noexcept {
  const std::string_view columns = environment("COLUMNS");
  int width = 0;
  const auto [end, error] = std::from_chars(columns.data(), columns.data() + columns.size(), width);
  if (error == std::errc() && end == columns.data() + columns.size() && is_sensible(width)) return width;
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && is_sensible(size.ws_col)) return size.ws_col;
  return kDefaultWidth;
}

bool colors_wanted(int fd, ColorMode mode) noexcept {
  if (mode != ColorMode::automatic) return mode == ColorMode::always;
  return is_live_terminal(fd) && environment("NO_COLOR").empty();
}

}  // namespace d2c::host
