// How far a long run is: one live line on a terminal, plain lines otherwise, always on stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace d2c::host {

/// Thread-safe. Draws at most ten times a second on a terminal and a line every few seconds elsewhere.
class Progress {
 public:
  virtual ~Progress() = default;
  /// A named phase begins ("quantize"): `total` units of work in bytes, `items` tensors.
  virtual void begin(const std::string& phase, std::uint64_t total, std::uint64_t items) = 0;
  /// `bytes` more are done; `item_done` counts a finished tensor.
  virtual void advance(std::uint64_t bytes, bool item_done) = 0;
  virtual void end() = 0;
};

/// Live line where stderr is a terminal (and TERM is not "dumb"), plain lines otherwise; `quiet` draws nothing.
[[nodiscard]] std::unique_ptr<Progress> make_progress(bool quiet);

}  // namespace d2c::host
