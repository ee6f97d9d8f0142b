#include "host/convert/time_report.hpp"

#include <gtest/gtest.h>

namespace d2c::host {
namespace {

StageTimes times_of(double read, double quantize) {
  StageTimes times;
  times.read = read;
  times.quantize = quantize;
  return times;
}

TEST(TimeReport, CallsIdleWhatNoStageAccountsFor) {
  const Value v = time_value(times_of(2, 5), 4, 2);
  EXPECT_DOUBLE_EQ(v.at("read").as_real(), 2);
  EXPECT_DOUBLE_EQ(v.at("idle").as_real(), 1);
  EXPECT_DOUBLE_EQ(time_value(times_of(2, 7), 4, 2).at("idle").as_real(), 0);
}

TEST(TimeReport, NamesTheStageThatTookMost) {
  EXPECT_EQ(bounded_by(times_of(2, 6), 4, 2), "quantizing (75 % of the threads' time)");
  EXPECT_EQ(bounded_by(times_of(6, 2), 4, 2), "reading the input (75 % of the threads' time)");
}

TEST(TimeReport, SaysWhenThreadsHadNothingToDo) {
  EXPECT_EQ(bounded_by(times_of(1, 1), 4, 2).rfind("work that does not run in parallel", 0), 0u);
  EXPECT_FALSE(bounded_by({}, 0, 2).empty());
}

}  // namespace
}  // namespace d2c::host
