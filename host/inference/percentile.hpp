// Percentiles of measured times.
#pragma once

#include <vector>

namespace d2c::host {

/// Linear interpolation between the two nearest ranks, as numpy and spreadsheets do by default. `percent` is within
/// [0, 100]; nothing measured gives 0.
[[nodiscard]] double percentile(std::vector<double> samples, double percent);

}  // namespace d2c::host
