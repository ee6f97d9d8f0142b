#include "libs/llama_blocks/llama_config.hpp"
#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <utility>

namespace d2c::llama {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Value minimal() { return json::parse_file("tests/data/llama_blocks/configs/minimal_config.json"); }

std::string refusal(const Value& config) {
  try {
    (void)LlamaConfig::parse(config);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input);
    return e.what();
  }
  return "accepted";
}

std::string refusal_of_file(const char* name) {
  return refusal(json::parse_file(std::string("tests/data/llama_blocks/refused/") + name + ".json"));
}

std::string refusal_with(const char* key, Value value) {
  Value config = minimal();
  config.set(key, std::move(value));
  return refusal(config);
}

TEST(LlamaConfig, GivesAbsentKeysTheDefaultsOfTransformers) {
  const LlamaConfig c = LlamaConfig::parse(minimal());
  EXPECT_EQ(c.kv_heads, c.heads);
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_EQ(c.rope.kind, RopeKind::plain);
  EXPECT_EQ(c.rope.theta, 10000);
  EXPECT_EQ(c.rms_norm_eps, 1e-6);
  EXPECT_EQ(c.max_positions, 2048);
  EXPECT_FALSE(c.tied || c.qkv_bias || c.attention_output_bias || c.mlp_bias);
  EXPECT_FALSE(c.bos_token_id.has_value());
  EXPECT_TRUE(c.eos_token_ids.empty());
}

TEST(LlamaConfig, AcceptsEveryLlamaShapeOfTheReferenceSet) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/data/llama_blocks/configs")) {
    SCOPED_TRACE(entry.path());
    EXPECT_NO_THROW((void)LlamaConfig::parse(json::parse_file(entry.path())));
    ++files;
  }
  EXPECT_EQ(files, 22u);
}

TEST(LlamaConfig, ReadsRopeInTheFormsOfBothMajorVersions) {
  const auto rope = [](const char* name) {
    return LlamaConfig::parse(json::parse_file(std::string("tests/data/llama_blocks/configs/") + name + ".json")).rope;
  };
  EXPECT_EQ(rope("v5_config").theta, 25000);
  EXPECT_EQ(rope("rope_linear_fp16").kind, RopeKind::linear);
  const RopeConfig llama3 = rope("llama32_3b_like");
  EXPECT_EQ(llama3.kind, RopeKind::llama3);
  EXPECT_EQ(llama3.factor, 32);
  EXPECT_EQ(llama3.original_context, 48);
}

TEST(LlamaConfig, ReadsOneOrSeveralEndTokens) {
  Value config = minimal();
  config.set("eos_token_id", 7);
  EXPECT_THAT(LlamaConfig::parse(config).eos_token_ids, ElementsAre(7));
  config.set("eos_token_id", Value::List{2, 3, -1});
  EXPECT_THAT(LlamaConfig::parse(config).eos_token_ids, ElementsAre(2, 3));
}

TEST(LlamaConfig, GivesQwen2BiasesToQueriesKeysAndValuesOnly) {
  const LlamaConfig c = LlamaConfig::parse(json::parse_file("tests/data/llama_blocks/configs/qwen2_like.json"));
  EXPECT_TRUE(c.qkv_bias);
  EXPECT_FALSE(c.attention_output_bias || c.mlp_bias);
}

TEST(LlamaConfig, EndsTheContextWhereAWindowWouldBeginToSlide) {
  Value config = json::parse_file("tests/data/llama_blocks/configs/mistral_like.json");
  EXPECT_EQ(LlamaConfig::parse(config).max_positions, 512) << "null: there is no window";
  config.set("sliding_window", 100);
  EXPECT_EQ(LlamaConfig::parse(config).max_positions, 100);
  EXPECT_STREQ(LlamaConfig::parse(config).max_positions_key, "sliding_window");
  config.set("sliding_window", 4096);
  EXPECT_EQ(LlamaConfig::parse(config).max_positions, 512);
}

TEST(LlamaConfig, HeedsTheWindowOfQwen2OnlyWhereItIsInUse) {
  Value config = json::parse_file("tests/data/llama_blocks/configs/qwen2_like.json");
  config.set("sliding_window", 100);
  EXPECT_EQ(LlamaConfig::parse(config).max_positions, 512);
  config.set("use_sliding_window", true);
  EXPECT_EQ(LlamaConfig::parse(config).max_positions, 100);
}

TEST(LlamaConfig, RefusesByName) {
  EXPECT_THAT(refusal_of_file("unknown_arch"), HasSubstr("gpt2"));
  EXPECT_THAT(refusal_of_file("rope_yarn"), HasSubstr("yarn"));
  EXPECT_THAT(refusal_of_file("unknown_rope"), HasSubstr("hyper"));
  EXPECT_THAT(refusal_of_file("hidden_act_gelu"), HasSubstr("gelu"));
  EXPECT_THAT(refusal_of_file("quantized_bnb"), HasSubstr("bitsandbytes"));
  EXPECT_THAT(refusal_of_file("rope_llama3_missing_field"), HasSubstr("low_freq_factor"));
  EXPECT_THAT(refusal_of_file("heads_not_divisible"), HasSubstr("num_key_value_heads 3"));
}

TEST(LlamaConfig, RefusesValuesThatCannotBe) {
  EXPECT_THAT(refusal_with("vocab_size", 0), HasSubstr("vocab_size is 0, outside 1.."));
  EXPECT_THAT(refusal_with("hidden_size", std::numeric_limits<std::int64_t>::max()), HasSubstr("hidden_size"));
  EXPECT_THAT(refusal_with("num_hidden_layers", -1), HasSubstr("num_hidden_layers"));
  EXPECT_THAT(refusal_with("num_hidden_layers", "two"), HasSubstr("a string, not an integer"));
  EXPECT_THAT(refusal_with("hidden_size", nullptr), HasSubstr("'hidden_size' is missing"));
  EXPECT_THAT(refusal_with("hidden_size", 65), HasSubstr("no head_dim"));
  EXPECT_THAT(refusal_with("head_dim", 15), HasSubstr("odd"));
  EXPECT_THAT(refusal_with("rms_norm_eps", 0.0), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(refusal_with("rope_theta", std::numeric_limits<double>::infinity()), HasSubstr("rope_theta"));
  EXPECT_THAT(refusal_with("attention_bias", 1), HasSubstr("not a boolean"));
  EXPECT_THAT(refusal_with("rope_scaling", "linear"), HasSubstr("not a table"));
  EXPECT_THAT(refusal_with("partial_rotary_factor", 0.5), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(refusal_with("eos_token_id", "</s>"), HasSubstr("eos_token_id"));
  EXPECT_THAT(refusal(Value::list()), HasSubstr("not a table"));
}

TEST(LlamaConfig, RefusesContradictingRopeNames) {
  Value rope = Value::table();
  rope.set("rope_type", "linear");
  rope.set("type", "llama3");
  rope.set("factor", 2);
  EXPECT_THAT(refusal_with("rope_scaling", rope), HasSubstr("contradicts"));
}

}  // namespace
}  // namespace d2c::llama
