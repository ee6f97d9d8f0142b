#include "host/workspace/workspace.hpp"

#include <d2c/error.hpp>

#include <gmock/gmock.h>

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

namespace {

namespace fs = std::filesystem;
using d2c::Code;
using d2c::Error;
using d2c::host::Workspace;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Property;
using ::testing::Throws;

class WorkspaceTest : public ::testing::Test {
 protected:
  fs::path root_ = fs::path(testing::TempDir()) / ("workspace." + std::to_string(getpid()));
  fs::path output_ = root_ / "model.mlpackage";

  void SetUp() override { fs::create_directories(root_); }
  void TearDown() override { fs::remove_all(root_); }

  static void build_package(const Workspace& w, const std::string& content) {
    fs::create_directory(w.package());
    std::ofstream(w.package() / "file") << content;
  }
  [[nodiscard]] std::string published() const {
    std::string text;
    std::ifstream(output_ / "file") >> text;
    return text;
  }
  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(root_), fs::directory_iterator()));
  }
};

auto Refused(Code code, const std::string& text) {
  return Throws<Error>(AllOf(Property(&Error::code, code), Property(&Error::what, HasSubstr(text))));
}

TEST_F(WorkspaceTest, PublishesByMovingThePackageAndLeavesNothingBeside) {
  {
    Workspace w(output_, false);
    build_package(w, "new");
    EXPECT_FALSE(fs::exists(output_));
    w.publish();
  }
  EXPECT_EQ(published(), "new");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(WorkspaceTest, RefusesToOverwriteWithoutForce) {
  fs::create_directory(output_);
  EXPECT_THAT([&] { Workspace w(output_, false); }, Refused(Code::usage, "pass --force"));
}

TEST_F(WorkspaceTest, WithForceReplacesTheOldOutputOnlyWhenPublishing) {
  fs::create_directory(output_);
  std::ofstream(output_ / "file") << "old";
  {
    Workspace w(output_, true);
    build_package(w, "new");
    EXPECT_EQ(published(), "old");
    w.publish();
  }
  EXPECT_EQ(published(), "new");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(WorkspaceTest, UnpublishedWorkGoesAwayUnlessKept) {
  { Workspace w(output_, false); }
  EXPECT_EQ(entries(), 0u);
  {
    Workspace w(output_, false);
    w.keep();
  }
  EXPECT_TRUE(fs::exists(Workspace::folder_of(output_)));
}

TEST_F(WorkspaceTest, ASecondRunOnOneOutputIsRefusedWhileTheFirstLives) {
  const Workspace first(output_, false);
  // Locks belong to open files, so another process is needed to be refused as another run would be.
  const pid_t child = fork();
  if (child == 0) {
    try {
      Workspace second(output_, false);
    } catch (const Error& e) {
      _exit(e.code() == Code::resource ? 42 : 1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST_F(WorkspaceTest, AMissingParentIsAUsageError) {
  EXPECT_THAT([&] { Workspace w(root_ / "no" / "x.mlpackage", false); }, Refused(Code::usage, "no such directory"));
}

TEST_F(WorkspaceTest, ATrailingSlashNamesTheSameOutput) {
  Workspace w(output_.string() + "/", false);
  EXPECT_EQ(w.folder(), Workspace::folder_of(output_));
}

TEST_F(WorkspaceTest, RefusesWhatTheDiskCannotHold) {
  const Workspace w(output_, false);
  EXPECT_NO_THROW(w.require_space(1));
  EXPECT_THAT([&] { w.require_space(std::uint64_t{1} << 60); }, Refused(Code::resource, "are needed"));
}

}  // namespace
