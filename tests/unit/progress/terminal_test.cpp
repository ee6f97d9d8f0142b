#include "host/platform/terminal.hpp"
#include "host/platform/process.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

namespace d2c::host {
namespace {

/// A pipe's end: no terminal.
class Terminal : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(ends_), 0); }
  void TearDown() override {
    close(ends_[0]);
    close(ends_[1]);
    unsetenv("COLUMNS");
  }
  int ends_[2]{};
};

TEST_F(Terminal, IsNoPipe) {
  EXPECT_FALSE(is_terminal(ends_[1]));
  EXPECT_FALSE(is_live_terminal(ends_[1]));
}

TEST_F(Terminal, TakesItsWidthFromColumns) {
  setenv("COLUMNS", "132", 1);
  EXPECT_EQ(terminal_width(ends_[1]), 132);
  for (const char* odd : {"", "0", "-5", "wide", "12x", "99999999999"}) {
    setenv("COLUMNS", odd, 1);
    EXPECT_EQ(terminal_width(ends_[1]), 80) << odd;
  }
}

TEST_F(Terminal, IsColouredOnlyWhereAskedOrPossible) {
  EXPECT_FALSE(colors_wanted(ends_[1], ColorMode::automatic));
  EXPECT_TRUE(colors_wanted(ends_[1], ColorMode::always));
  EXPECT_FALSE(colors_wanted(ends_[1], ColorMode::never));
}

TEST(Process, KnowsItsFileAndItsMemory) {
  EXPECT_EQ(program_file().filename(), "progress_test");
  EXPECT_GT(resident_memory(), 100'000U);
}

}  // namespace
}  // namespace d2c::host
