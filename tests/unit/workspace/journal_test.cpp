#include "host/workspace/journal.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>

namespace {

namespace fs = std::filesystem;
using d2c::Value;
using d2c::host::Journal;
using d2c::host::JournalEntry;

class JournalTest : public ::testing::Test {
 protected:
  fs::path file_ = fs::path(testing::TempDir()) / ("journal." + std::to_string(getpid()));
  void TearDown() override { fs::remove(file_); }
  static JournalEntry entry(const std::string& key) { return {key, "digest of " + key, Value(0.1)}; }
};

TEST_F(JournalTest, ReadsBackWhatWasAppendedToTheLastDigit) {
  {
    Journal journal(file_, {});
    const JournalEntry entries[] = {entry("a"), entry("b")};
    journal.append(entries);
  }
  const auto read = Journal::read(file_);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].key, "b");
  EXPECT_EQ(read[1].digest, "digest of b");
  EXPECT_EQ(read[1].payload.as_real(), 0.1);
}

TEST_F(JournalTest, ATornLineIsAsIfItWereNeverWritten) {
  {
    Journal journal(file_, {});
    const JournalEntry entries[] = {entry("a"), entry("b")};
    journal.append(entries);
  }
  for (auto size = fs::file_size(file_); size-- > 0;) {
    fs::resize_file(file_, size);
    const auto read = Journal::read(file_);
    EXPECT_LE(read.size(), 1u) << size;
    for (const auto& e : read) EXPECT_EQ(e.key, "a");
  }
}

TEST_F(JournalTest, StartingAgainKeepsOnlyWhatIsNamed) {
  const JournalEntry first[] = {entry("a"), entry("b")};
  { const Journal journal(file_, first); }
  const JournalEntry kept[] = {entry("b")};
  { const Journal journal(file_, kept); }
  const auto read = Journal::read(file_);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].key, "b");
}

TEST_F(JournalTest, AMissingOrForeignFileHoldsNothing) {
  EXPECT_TRUE(Journal::read(file_).empty());
  std::ofstream(file_) << "\x00\xff garbage\n{}\n";
  EXPECT_TRUE(Journal::read(file_).empty());
}

}  // namespace
