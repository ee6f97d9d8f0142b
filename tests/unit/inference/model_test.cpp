#include "host/inference/model.hpp"

#include "tests/unit/inference/counting_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::host {
namespace {

using testing::HasSubstr;

template <class Body>
std::string error(Code code, Body body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    return e.what();
  }
  return "no error";
}

TEST(Model, KnowsItsFunctionsAndFacts) {
  const CountingModel model;
  ASSERT_EQ(model.get().signatures().size(), 3U);
  EXPECT_EQ(model.get().function("init").inputs.size(), 3U);
  EXPECT_EQ(model.get().find("train"), nullptr);
  ASSERT_TRUE(model.get().facts().has_value());
  EXPECT_EQ(model.get().facts()->architecture, "Counting");
  EXPECT_EQ(model.get().facts()->bos, 1);
  EXPECT_THAT(model.get().facts()->eos, testing::ElementsAre(2));
  EXPECT_FALSE(model.get().encoder_facts().has_value());
}

TEST(Model, NamesAFunctionThatIsMissingAndThoseThereAre) {
  const CountingModel model("decode");
  const std::string message = error(Code::input, [&] { (void)model.get().function("encode"); });
  EXPECT_THAT(message, HasSubstr("'encode'"));
  EXPECT_THAT(message, HasSubstr("only decode"));
  EXPECT_THAT(message, HasSubstr("graph.functions"));
}

TEST(Model, PassesOptionsThatTheRunnerKnows) {
  RunnerOptions options;
  options.precision = "fp16";
  EXPECT_EQ(CountingModel("decode", options).get().description().text_or("precision", ""), "fp16");
  EXPECT_EQ(CountingModel("decode").get().description().text_or("precision", ""), "fp32");
}

TEST(Model, RefusesAnOptionThatTheRunnerDoesNotKnow) {
  RunnerOptions options;
  options.threads = 3;
  EXPECT_THAT(error(Code::usage, [&] { CountingModel("decode", options); }), HasSubstr("threads"));
}

TEST(Model, NamesMetadataThatMakesNoSense) {
  EXPECT_THAT(error(Code::input, [] { CountingModel("decode,broken"); }), HasSubstr("d2c.model"));
}

TEST(Model, ThatNobodyCanOpenIsRefused) {
  PluginRegistry plugins({}, {});
  EXPECT_THAT(error(Code::input, [&] { Model(plugins, "no_such.mlpackage", {}); }), HasSubstr("no_such.mlpackage"));
}

}  // namespace
}  // namespace d2c::host
