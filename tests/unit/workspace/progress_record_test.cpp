#include "host/workspace/progress_record.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

namespace d2c::host {
namespace {

namespace fs = std::filesystem;

class ProgressRecordTest : public testing::Test {
 protected:
  ProgressRecordTest() { fs::create_directories(folder_); }
  ~ProgressRecordTest() override { fs::remove_all(folder_); }

  [[nodiscard]] fs::path journal() const { return folder_ / "journal"; }

  /// Waits until the journal holds so many entries.
  [[nodiscard]] bool eventually_holds(std::size_t entries) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      if (Journal::read(journal()).size() == entries) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  const fs::path folder_ =
      fs::path(testing::TempDir()) /
      ("progress_record." + std::to_string(getpid()) + testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ProgressRecordTest, MakesUnitsDurableWithoutBeingAsked) {
  std::atomic<int> syncs = 0;
  ProgressRecord record(journal(), {{"a", "1"}, {"b", "2"}}, [&] { ++syncs; });
  record.add(0, Value("first"));
  EXPECT_TRUE(eventually_holds(1));
  record.add(1, Value("second"));
  EXPECT_TRUE(eventually_holds(2));
  EXPECT_EQ(syncs, 2);
}

TEST_F(ProgressRecordTest, SyncsBeforeItRecords) {
  std::atomic<std::size_t> recorded_at_sync = 99;
  ProgressRecord record(journal(), {{"a", "1"}}, [&] { recorded_at_sync = Journal::read(journal()).size(); });
  record.add(0, Value("note"));
  EXPECT_TRUE(eventually_holds(1));
  EXPECT_EQ(recorded_at_sync, 0u);
}

TEST_F(ProgressRecordTest, TakesOverWhatAnEarlierRunFinishedUnlessItChanged) {
  {
    ProgressRecord record(journal(), {{"a", "1"}, {"b", "2"}}, [] {});
    record.add(0, Value("kept"));
    record.add(1, Value("outdated"));
    ASSERT_TRUE(eventually_holds(2));
  }
  const ProgressRecord record(journal(), {{"a", "1"}, {"b", "other"}}, [] {});
  EXPECT_EQ(record.resumed(), 1u);
  ASSERT_TRUE(record.finished(0).has_value());
  EXPECT_EQ(record.finished(0)->as_text(), "kept");
  EXPECT_FALSE(record.finished(1).has_value());
}

TEST_F(ProgressRecordTest, ADiskThatFailedOnceIsNotTrustedAtTheEnd) {
  std::atomic<bool> failed = false;
  ProgressRecord record(journal(), {{"a", "1"}}, [&] {
    if (!failed.exchange(true)) fail(Code::resource, "the disk lost something");
  });
  record.add(0, Value("lost"));
  while (!failed) std::this_thread::yield();
  EXPECT_THROW(record.finish(), Error);
}

TEST_F(ProgressRecordTest, TellsTheNextUnitThatTheDiskFailed) {
  std::atomic<bool> failed = false;
  ProgressRecord record(journal(), {{"a", "1"}, {"b", "2"}}, [&] {
    failed = true;
    fail(Code::resource, "the disk is gone");
  });
  record.add(0, Value("lost"));
  while (!failed) std::this_thread::yield();
  const auto add_until_told = [&] {
    for (int i = 0; i < 2000; ++i) {
      record.add(1, Value("lost, too"));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  };
  EXPECT_THROW(add_until_told(), Error);
  EXPECT_TRUE(Journal::read(journal()).empty());
}

}  // namespace
}  // namespace d2c::host
