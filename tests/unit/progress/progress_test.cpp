#include "host/progress/progress.hpp"

#include "host/log/log.hpp"
#include "host/progress/progress_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace d2c::host {
namespace {

using testing::HasSubstr;
using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

Snapshot running() {
  Snapshot s;
  s.phase = "quantize";
  s.done = 1'210'000'000;
  s.total = 4'020'000'000;
  s.items_done = 71;
  s.items_total = 291;
  s.seconds = 14.2;
  s.memory = 612'000'000;
  return s;
}

TEST(SizeText, HasThreeDigits) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(999), "999 B");
  EXPECT_EQ(size_text(1000), "1.00 kB");
  EXPECT_EQ(size_text(999'499), "999 kB");
  EXPECT_EQ(size_text(999'500), "1.00 MB");
  EXPECT_EQ(size_text(67'649'280), "67.6 MB");
  EXPECT_EQ(size_text(4'018'328'640), "4.02 GB");
  EXPECT_EQ(size_text(UINT64_MAX), "18.4 EB");
}

TEST(DurationText, GrowsWithTheDuration) {
  EXPECT_EQ(duration_text(0.4), "0 s");
  EXPECT_EQ(duration_text(59.4), "59 s");
  EXPECT_EQ(duration_text(59.6), "1:00");
  EXPECT_EQ(duration_text(245), "4:05");
  EXPECT_EQ(duration_text(3723), "1:02:03");
  EXPECT_EQ(duration_text(-1), "0 s");
}

TEST(ProgressText, SaysEverythingWhereThereIsRoom) {
  EXPECT_EQ(progress_text(running(), 200),
            "quantize  1.21 GB of 4.02 GB  30%  85.2 MB/s  33 s left  71/291 tensors  612 MB memory");
}

TEST(ProgressText, LeavesOutTheLeastImportantAndNeverFillsTheLine) {
  const Snapshot s = running();
  for (int width = 0; width < 100; ++width)
    EXPECT_LT(progress_text(s, width).size(), static_cast<std::size_t>(std::max(width, 1))) << width;
  EXPECT_EQ(progress_text(s, 30), "quantize  30%  33 s left");
}

TEST(ProgressText, SaysNoRateBeforeThereIsOne) {
  Snapshot s = running();
  s.seconds = 0.1;
  EXPECT_THAT(progress_text(s, 200), testing::Not(HasSubstr("/s")));
  EXPECT_EQ(progress_text(Snapshot{}, 80), "");
}

TEST(ProgressText, Says100PercentOnlyAtTheEnd) {
  Snapshot s = running();
  s.done = s.total - 1;
  EXPECT_THAT(progress_text(s, 200), HasSubstr("99%"));
}

TEST(Progress, EndsAPhaseWithAPlainLineElsewhereThanOnATerminal) {
  CaptureStderr();
  const auto progress = make_progress(false);
  progress->begin("quantize", 3000, 2);
  progress->advance(1000, true);
  progress->advance(2000, true);
  progress->end();
  progress->end();
  EXPECT_EQ(GetCapturedStderr(), "quantize: 3.00 kB, 2 tensors in 0 s\n");
}

TEST(Progress, SaysNothingWhenQuiet) {
  CaptureStderr();
  const auto progress = make_progress(true);
  progress->begin("quantize", 3000, 2);
  progress->advance(3000, true);
  progress->end();
  EXPECT_EQ(GetCapturedStderr(), "");
}

TEST(Progress, CountsWhatAllThreadsDo) {
  CaptureStderr();
  const auto progress = make_progress(false);
  progress->begin("work", 4'000'000, 4000);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) progress->advance(1000, true);
      });
  }
  progress->end();
  EXPECT_THAT(GetCapturedStderr(), HasSubstr("work: 4.00 MB, 4000 tensors"));
}

TEST(Log, NamesTheLevelAndDropsWhatIsBelowIt) {
  CaptureStderr();
  log::set_level(log::Level::warn);
  log::info("hidden");
  log::warn("seen {}");
  log::set_level(log::Level::info);
  EXPECT_EQ(GetCapturedStderr(), "warning: seen {}\n");
}

TEST(Log, ColoursTheLevelWhereAsked) {
  CaptureStderr();
  log::set_color(ColorMode::always);
  log::error("broken");
  log::set_color(ColorMode::never);
  log::error("broken");
  EXPECT_EQ(GetCapturedStderr(), "\x1b[31merror\x1b[0m: broken\nerror: broken\n");
}

TEST(Log, PutsLinesAboveTheLiveOne) {
  CaptureStderr();
  log::set_color(ColorMode::never);
  log::show_live("50%");
  log::warn("odd");
  log::show_live("");
  log::show_live("");
  EXPECT_EQ(GetCapturedStderr(), "\r\x1b[K50%\r\x1b[Kwarning: odd\n50%\r\x1b[K");
}

}  // namespace
}  // namespace d2c::host
