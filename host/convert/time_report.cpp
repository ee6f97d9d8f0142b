#include "host/convert/time_report.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace d2c::host {
namespace {

double idle(const StageTimes& times, double seconds, unsigned threads) {
  return std::max(0.0, seconds * threads - times.total());
}

}  // namespace

Value time_value(const StageTimes& times, double seconds, unsigned threads) {
  Value v = Value::table();
  v.set("read", times.read);
  v.set("hash", times.hash);
  v.set("merge", times.merge);
  v.set("quantize", times.quantize);
  v.set("prove", times.prove);
  v.set("write", times.write);
  v.set("idle", idle(times, seconds, threads));
  return v;
}

std::string bounded_by(const StageTimes& times, double seconds, unsigned threads) {
  const std::pair<double, const char*> stages[] = {
      {times.read, "reading the input"},
      {times.hash, "hashing the input"},
      {times.merge, "merging adapters"},
      {times.quantize, "quantizing"},
      {times.prove, "checking what merges left"},
      {times.write, "writing the output"},
      {idle(times, seconds, threads), "work that does not run in parallel: planning, publishing, the last tensors"},
  };
  const auto& most = *std::max_element(std::begin(stages), std::end(stages));
  const double all = std::max(seconds * threads, times.total());
  if (!(all > 0)) return most.second;
  return std::string(most.second) + " (" + std::to_string(std::lround(100 * most.first / all)) +
         " % of the threads' time)";
}

}  // namespace d2c::host
