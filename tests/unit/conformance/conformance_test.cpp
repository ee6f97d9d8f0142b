#include "host/conformance/conformance.hpp"
#include "host/platform/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace d2c::host {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

Value options(const std::string& key, const std::string& value) {
  Value v = Value::table();
  v.set(key, value);
  return v;
}

/// Rule -> why it failed.
std::map<std::string, std::string> failures(const std::string& library, const Value& options = Value::table(),
                                            const std::vector<std::string>& only = {}) {
  const Plugin plugin(library);
  std::map<std::string, std::string> failed;
  for (const RuleResult& r : test_plugin(plugin, options, only))
    if (r.verdict == Verdict::failed) failed[r.id] = r.detail;
  return failed;
}

std::string fixture(const std::string& name) { return std::string(FIXTURES) + "/" + name + LIBRARY_SUFFIX; }
std::string bundled(const std::string& name) { return std::string(D2C_PLUGIN_DIR) + "/" + name + LIBRARY_SUFFIX; }

/// By the rule that `fault` is named after.
std::map<std::string, std::string> failures_of_fault(const std::string& fault) {
  const std::string rule = fault.substr(0, fault.find(':'));
  return failures(fixture("quant_broken"), options("fault", fault), {rule == "quiet" ? "bounds" : rule});
}

TEST(Conformance, FindsNothingInAQuantizerThatKeepsTheContract) {
  EXPECT_THAT(failures(fixture("quant_broken")), IsEmpty());
}

TEST(Conformance, FindsNothingInTheBundledQuantizers) {
  EXPECT_THAT(failures(bundled("quant_linear")), IsEmpty());
  EXPECT_THAT(failures(bundled("quant_linear"), options("offset", "integer")), IsEmpty());
  EXPECT_THAT(failures(bundled("quant_palettize4")), IsEmpty());
  EXPECT_THAT(failures(bundled("quant_palettize4"), options("granularity", "per_tensor")), IsEmpty());
}

class Fault : public testing::TestWithParam<const char*> {};

TEST_P(Fault, IsFoundByTheRuleThatForbidsIt) {
  const std::string fault = GetParam();
  const std::string rule = fault.substr(0, fault.find(':'));
  if ((rule == "leaks" || rule == "memory") && heap_in_use() == 0) GTEST_SKIP() << "the allocator does not tell";
  const auto failed = failures_of_fault(fault);
  ASSERT_TRUE(failed.contains(rule)) << testing::PrintToString(failed);
  EXPECT_GT(failed.at(rule).size(), 15u) << failed.at(rule);
}

INSTANTIATE_TEST_SUITE_P(All, Fault,
                         testing::Values("create", "plan", "plan: a code of its own", "extreme-shapes", "bounds",
                                         "bounds: further away", "bounds: the tile", "size", "error", "odd-values",
                                         "non-finite", "tiles", "threads", "repeat", "leaks", "memory", "choices",
                                         "quiet"));

TEST(Conformance, SaysWhichBytesOfWhichPlaneAreMeant) {
  EXPECT_THAT(failures_of_fault("bounds").at("bounds"), HasSubstr("plane 0 was written to beyond the 1 bytes"));
  EXPECT_THAT(failures_of_fault("tiles").at("tiles"), HasSubstr("plane 0 differs from byte"));
}

TEST(Conformance, SurvivesACrashAndNamesIt) {
  EXPECT_THAT(failures_of_fault("bounds: further away").at("bounds"), HasSubstr("outside of the memory it was given"));
  EXPECT_THAT(failures_of_fault("extreme-shapes").at("extreme-shapes"), HasSubstr("crashed: Aborted"));
}

TEST(Conformance, ReadsWhatAPluginSaysAboutItself) {
  EXPECT_THAT(failures(fixture("bad_summary")).at("entry"), HasSubstr("summary"));
  EXPECT_THAT(failures(fixture("bad_version")).at("entry"), HasSubstr("'one' is not like 1.0.0"));
  EXPECT_THAT(failures(fixture("bad_kind")).at("kinds"), HasSubstr("no kind 'd2c.juggler/1'"));
  EXPECT_THAT(failures(fixture("bad_option")).at("options"), HasSubstr("default is not among what it allows"));
}

TEST(Conformance, AnOptionThatThereIsNotBreaksTheFirstRule) {
  EXPECT_THAT(failures(bundled("quant_linear"), options("bitz", "4"), {"create"}).at("create"),
              HasSubstr("no option 'bitz'"));
}

TEST(Conformance, ARuleThatThereIsNotIsRefused) {
  try {
    static_cast<void>(failures(bundled("quant_linear"), Value::table(), {"thread"}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("did you mean 'threads'"));
  }
}

}  // namespace
}  // namespace d2c::host
