// Where the time of a run went, and what a faster run would need more of.
#pragma once

#include "host/executor/weight_stream.hpp"

#include <d2c/value.hpp>

#include <string>

namespace d2c::host {

/// {"read", "hash", "merge", "quantize", "prove", "write", "idle"}, in thread seconds of a run of `seconds` wall time.
[[nodiscard]] Value time_value(const StageTimes& times, double seconds, unsigned threads);

/// One phrase: the stage that took most of the threads' time and its share, or that they had nothing to do.
[[nodiscard]] std::string bounded_by(const StageTimes& times, double seconds, unsigned threads);

}  // namespace d2c::host
