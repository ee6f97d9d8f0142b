// The words of a progress line.
#pragma once

#include <cstdint>
#include <string>

namespace d2c::host {

struct Snapshot {
  std::string phase;
  std::uint64_t done = 0, total = 0;              ///< bytes of work
  std::uint64_t items_done = 0, items_total = 0;  ///< tensors
  double seconds = 0;                             ///< since the phase began
  std::uint64_t memory = 0;                       ///< resident bytes, 0: unknown
};

/// "412 MB", "4.02 GB": three digits, decimal units.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

/// "7 s", "4:05", "1:02:03".
[[nodiscard]] std::string duration_text(double seconds);

/// "quantize  1.21 GB of 4.02 GB  30%  85 MB/s  33 s left  71/291 tensors  612 MB memory", cut to `width` columns by
/// leaving out what matters least.
[[nodiscard]] std::string progress_text(const Snapshot& snapshot, int width);

/// "quantize: 4.02 GB, 291 tensors in 47 s (85 MB/s)".
[[nodiscard]] std::string phase_summary(const Snapshot& snapshot);

}  // namespace d2c::host
