// The one logging facade of the host and the one writer of stderr. spdlog lives in log.cpp alone.
#pragma once

#include "host/platform/terminal.hpp"

#include <string_view>

namespace d2c::host::log {

enum class Level { debug, info, warn, error };

/// Sets the least level that is shown. Thread-safe, as everything here. Lines go to stderr; colours follow
/// isatty and NO_COLOR. A live progress line, if any, is cleared before and redrawn after a line.
void set_level(Level level);
void set_color(ColorMode mode);
void write(Level level, std::string_view text);

inline void debug(std::string_view t) { write(Level::debug, t); }
inline void info(std::string_view t) { write(Level::info, t); }
inline void warn(std::string_view t) { write(Level::warn, t); }
inline void error(std::string_view t) { write(Level::error, t); }

/// A whole line for people, without a level in front: plain progress, the closing error.
void line(std::string_view text);

/// Draws `text` (no line break, narrower than the terminal) as the last line of a terminal; empty text removes it.
void show_live(std::string_view text);

}  // namespace d2c::host::log
