#include "libs/llama_blocks/graph_settings.hpp"

#include <d2c/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace d2c::llama {
namespace {

using testing::HasSubstr;

LlamaConfig model(std::int64_t max_positions) {
  LlamaConfig c;
  c.max_positions = max_positions;
  return c;
}

Value table(std::initializer_list<std::pair<const char*, Value>> members) {
  Value v = Value::table();
  for (const auto& [key, value] : members) v.set(key, value);
  return v;
}

std::string refusal(const Value& graph) {
  try {
    (void)GraphSettings::parse(graph, model(512));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::usage);
    return e.what();
  }
  return "accepted";
}

TEST(GraphSettings, DefaultToWhatTheModelCanHold) {
  EXPECT_EQ(GraphSettings::parse(Value::table(), model(131072)).context, 2048);
  EXPECT_EQ(GraphSettings::parse(Value::table(), model(512)).context, 512);
  const GraphSettings tiny = GraphSettings::parse(Value::table(), model(32));
  EXPECT_EQ(tiny.prefill, 32);
  EXPECT_EQ(tiny.kv, KvLayout::packed);
  EXPECT_EQ(tiny.attention, AttentionForm::explicit_ops);
  EXPECT_EQ(tiny.precision, DType::f16);
}

TEST(GraphSettings, SayWhichKeyToSet) {
  EXPECT_THAT(refusal(table({{"context", 1024}})), HasSubstr("graph.context is 1024; set it to 1..512"));
  EXPECT_THAT(refusal(table({{"context", 0}})), HasSubstr("graph.context is 0"));
  EXPECT_THAT(refusal(table({{"context", 32}, {"prefill", 64}})), HasSubstr("set graph.prefill to 1..32"));
  EXPECT_THAT(refusal(table({{"prefill", 0}})), HasSubstr("graph.prefill is 0"));
  EXPECT_THAT(refusal(table({{"kv", "io"}})), HasSubstr("'io' is not available yet"));
  EXPECT_THAT(refusal(table({{"kv", "ring"}})), HasSubstr("'ring' is not one of packed, split"));
  EXPECT_THAT(refusal(table({{"precision", "bf16"}})), HasSubstr("'bf16' is not one of fp16, fp32"));
  EXPECT_THAT(refusal(table({{"attention", "flash"}})), HasSubstr("'flash' is not one of explicit, fused"));
}

}  // namespace
}  // namespace d2c::llama
