// The C interface, through the shared library alone.
#include "tests/unit/mil_cpu/sample_decoder.hpp"

#include <dolphin2coreml/runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace d2c::mil_cpu::test {
namespace {

using testing::HasSubstr;

d2c_rt_package* open(const std::filesystem::path& path) {
  d2c_rt_package* package = nullptr;
  EXPECT_EQ(d2c_rt_open(path.c_str(), D2C_RT_FP32, 1, &package), D2C_RT_OK) << d2c_rt_last_error();
  return package;
}

d2c_rt_code decode(d2c_rt_package* package, d2c_rt_state* state, std::int32_t token,
                   std::vector<std::uint16_t>& logits) {
  const std::int32_t position = 0;
  const char* inputs[] = {"position", "input_ids"};
  const void* data[] = {&position, &token};
  const std::size_t sizes[] = {sizeof position, sizeof token};
  const char* outputs[] = {"logits"};
  void* out[] = {logits.data()};
  const std::size_t out_sizes[] = {logits.size() * sizeof logits[0]};
  return d2c_rt_call(package, "decode", state, 2, inputs, data, sizes, 1, outputs, out, out_sizes);
}

TEST(Runtime, DescribesAPackage) {
  const SampleShape shape;
  d2c_rt_package* package = open(sample_decoder(shape));
  ASSERT_EQ(d2c_rt_function_count(package), 2u);
  EXPECT_STREQ(d2c_rt_function_name(package, 1), "decode");
  EXPECT_EQ(d2c_rt_function_name(package, 2), nullptr);
  EXPECT_EQ(d2c_rt_feature_count(package, "init", D2C_RT_INPUTS), 3u);
  EXPECT_EQ(d2c_rt_feature_count(package, "nothing", D2C_RT_INPUTS), 0u);
  const char* name = nullptr;
  d2c_rt_dtype dtype = 0;
  std::size_t rank = 0;
  const std::int64_t* dimensions = nullptr;
  ASSERT_EQ(d2c_rt_feature(package, "decode", D2C_RT_STATES, 0, &name, &dtype, &rank, &dimensions), D2C_RT_OK);
  EXPECT_STREQ(name, "kv_cache");
  EXPECT_EQ(dtype, D2C_RT_FLOAT16);
  ASSERT_EQ(rank, 4u);
  EXPECT_EQ(dimensions[2], shape.context);
  EXPECT_EQ(d2c_rt_feature(package, "decode", D2C_RT_STATES, 1, &name, nullptr, nullptr, nullptr), D2C_RT_USAGE);
  EXPECT_STREQ(d2c_rt_metadata_key(package, 0), "d2c.sample");
  EXPECT_STREQ(d2c_rt_metadata(package, "d2c.sample"), "{}");
  EXPECT_EQ(d2c_rt_metadata(package, "other"), nullptr);
  EXPECT_GT(d2c_rt_weight_bytes(package), 0u);
  EXPECT_GT(d2c_rt_scratch_bytes(package, "decode"), 0u);
  d2c_rt_close(package);
}

TEST(Runtime, RunsAFunctionAndShowsItsState) {
  const SampleShape shape;
  d2c_rt_package* package = open(sample_decoder(shape));
  d2c_rt_state* state = nullptr;
  ASSERT_EQ(d2c_rt_state_make(package, &state), D2C_RT_OK);
  std::vector<std::uint16_t> logits(static_cast<std::size_t>(shape.vocabulary));
  ASSERT_EQ(decode(package, state, 5, logits), D2C_RT_OK) << d2c_rt_last_error();
  EXPECT_NE(logits[0], 0);
  void* data = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(d2c_rt_state_buffer(state, "kv_cache", &data, &size), D2C_RT_OK);
  EXPECT_EQ(size, d2c_rt_state_bytes(package));
  EXPECT_NE(*static_cast<const std::uint16_t*>(data), 0);
  d2c_rt_close(package);  // the state keeps what it needs
  d2c_rt_state_free(state);
}

TEST(Runtime, ReportsErrorsByCodeAndText) {
  const SampleShape shape;
  d2c_rt_package* package = open(sample_decoder(shape));
  d2c_rt_state* state = nullptr;
  ASSERT_EQ(d2c_rt_state_make(package, &state), D2C_RT_OK);
  std::vector<std::uint16_t> logits(static_cast<std::size_t>(shape.vocabulary));
  EXPECT_EQ(decode(package, state, 9999, logits), D2C_RT_INPUT);
  EXPECT_THAT(d2c_rt_last_error(), HasSubstr("index 9999"));
  logits.pop_back();
  EXPECT_EQ(decode(package, state, 1, logits), D2C_RT_USAGE);
  EXPECT_THAT(d2c_rt_last_error(), HasSubstr("'logits'"));
  EXPECT_EQ(d2c_rt_call(nullptr, "decode", nullptr, 0, nullptr, nullptr, nullptr, 0, nullptr, nullptr, nullptr),
            D2C_RT_USAGE);
  d2c_rt_package* none = package;
  EXPECT_EQ(d2c_rt_open("/no/such.mlpackage", D2C_RT_FP32, 0, &none), D2C_RT_INPUT);
  EXPECT_EQ(none, nullptr);
  d2c_rt_state_free(state);
  d2c_rt_close(package);
  d2c_rt_close(nullptr);
}

}  // namespace
}  // namespace d2c::mil_cpu::test
