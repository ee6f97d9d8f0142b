// What an independent reader of the format, built on coremltools, says about our packages. It needs a Python with
// coremltools; D2C_JUDGE_PYTHON names one.
#include "tests/unit/coreml_writer/sample_package.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace d2c::coreml_writer {
namespace {

TEST(Judge, FindsNothingToCriticizeInAPackageWithEveryScheme) {
  const char* python = std::getenv("D2C_JUDGE_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "set D2C_JUDGE_PYTHON to a Python with coremltools and numpy";
  for (const char* deployment : {"iOS18", "macOS26"}) {
    const TemporaryFolder folder;
    SampleProgram program;
    program.set_deployment(deployment);
    fill_sample(program);
    const auto package = folder.path() / "sample.mlpackage";
    write_package(program.c(), package);
    const auto report = folder.path() / "report.txt";
    const std::string command = std::string("'") + python + "' '" D2C_SOURCE_DIR "/tests/judge/judge_mlpackage.py' '" +
                                package.string() + "' --strict --expect-functions init,decode,encode >'" +
                                report.string() + "' 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << read_file(report);
  }
}

}  // namespace
}  // namespace d2c::coreml_writer
