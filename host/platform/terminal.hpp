// What the program may assume about the stream it writes people's text to.
#pragma once

namespace d2c::host {

enum class ColorMode { automatic, always, never };

[[nodiscard]] bool is_terminal(int fd) noexcept;

/// A terminal that understands carriage return and erase: TERM is set and not "dumb".
[[nodiscard]] bool is_live_terminal(int fd) noexcept;

/// Columns of the terminal: COLUMNS, then what the terminal says, then 80.
[[nodiscard]] int terminal_width(int fd) noexcept;

/// `automatic`: on a live terminal, unless NO_COLOR is set and not empty.
[[nodiscard]] bool colors_wanted(int fd, ColorMode mode) noexcept;

}  // namespace d2c::host
