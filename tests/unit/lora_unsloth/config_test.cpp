#include "plugins/lora_unsloth/config.hpp"

#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::lora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// A minimal config; `extra` members come first.
AdapterConfig parse(const std::string& extra, const std::string& targets = R"(["q_proj"])") {
  const std::string text =
      "{" + extra + R"("peft_type":"LORA","r":8,"lora_alpha":16,"target_modules":)" + targets + "}";
  return parse_config(json::parse(text, "test"), "adapter_config.json");
}

std::string refusal(const std::string& extra) {
  try {
    (void)parse(extra);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input);
    return e.what();
  }
  return "accepted";
}

TEST(AdapterConfig, ScalesByRankOrItsRoot) {
  EXPECT_DOUBLE_EQ(parse("").scaling_of("q_proj"), 2);
  EXPECT_DOUBLE_EQ(parse(R"("use_rslora":true,"rank_pattern":{"q_proj":4},)").scaling_of("model.q_proj"), 8);
}

TEST(AdapterConfig, LetsTheFirstMatchingPatternWin) {
  const AdapterConfig c = parse(R"("rank_pattern":{"1.self_attn.q_proj":2,"q_proj":4},)");
  EXPECT_EQ(c.rank_of("model.layers.1.self_attn.q_proj"), 2);
  EXPECT_EQ(c.rank_of("model.layers.0.self_attn.q_proj"), 4);
  EXPECT_EQ(c.rank_of("model.layers.0.self_attn.xq_proj"), 8);
}

TEST(AdapterConfig, LeavesTheHeadOutOfAllLinear) {
  const AdapterConfig c = parse("", R"("All-Linear")");
  EXPECT_TRUE(c.targets_module("model.layers.0.mlp.up_proj", true));
  EXPECT_FALSE(c.targets_module("lm_head", false));
}

TEST(AdapterConfig, NarrowsSuffixesByLayerButNotWholePaths) {
  const AdapterConfig c = parse(R"("layers_to_transform":[1],)", R"(["q_proj","model.layers.0.self_attn.v_proj"])");
  EXPECT_TRUE(c.targets_module("model.layers.1.self_attn.q_proj", true));
  EXPECT_FALSE(c.targets_module("model.layers.0.self_attn.q_proj", true));
  EXPECT_TRUE(c.targets_module("model.layers.0.self_attn.v_proj", true));
}

TEST(AdapterConfig, ExcludesBeforeItTargets) {
  const AdapterConfig c = parse(R"("exclude_modules":".*\\.0\\..*",)");
  EXPECT_FALSE(c.targets_module("model.layers.0.self_attn.q_proj", true));
  EXPECT_TRUE(c.targets_module("model.layers.1.self_attn.q_proj", true));
}

TEST(AdapterConfig, RefusesByNameWhatItDoesNotSupport) {
  for (const char* key : {"alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication",
                          "megatron_config", "target_parameters", "use_qalora", "use_bdlora", "velora_config"}) {
    EXPECT_THAT(refusal("\"" + std::string(key) + "\":[1],"), HasSubstr(key));
  }
  for (const char* kind : {"pissa", "pissa_niter_16", "corda", "something_new"}) {
    EXPECT_THAT(refusal("\"init_lora_weights\":\"" + std::string(kind) + "\","), HasSubstr(kind));
  }
}

TEST(AdapterConfig, RefusesValuesOfTheWrongKind) {
  EXPECT_THAT(refusal(R"("use_dora":"yes",)"), HasSubstr("use_dora"));
  EXPECT_THAT(refusal(R"("bias":"some",)"), HasSubstr("some"));
  EXPECT_THAT(refusal(R"("rank_pattern":{"q_proj":1.5},)"), HasSubstr("rank_pattern.q_proj"));
  EXPECT_THAT(refusal(R"("alpha_pattern":{"(":1},)"), HasSubstr("alpha_pattern"));
  EXPECT_THAT(refusal(R"("trainable_token_indices":[-1],)"), HasSubstr("-1"));
}

TEST(AdapterConfig, WarnsAboutAQuantizedTrainingBase) {
  EXPECT_THAT(parse(R"("base_model_name_or_path":"unsloth/llama-3-8b-bnb-4bit",)").warnings,
              ElementsAre(HasSubstr("bnb-4bit")));
  EXPECT_THAT(parse(R"("base_model_name_or_path":"meta-llama/Llama-3.1-8B",)").warnings, IsEmpty());
  EXPECT_THAT(parse(R"("init_lora_weights":"lora_ga",)").warnings, SizeIs(1));
}

TEST(AdapterConfig, RemembersWhatWasTakenOutOfTheBase) {
  EXPECT_EQ(parse("").initialisation, Initialisation::plain);
  EXPECT_EQ(parse(R"("init_lora_weights":"eva",)").initialisation, Initialisation::plain);
  EXPECT_EQ(parse(R"("init_lora_weights":"OLoRA",)").initialisation, Initialisation::olora);
}

TEST(AdapterConfig, ListsUnknownKeysInsteadOfFailing) {
  EXPECT_THAT(parse(R"("unsloth_fixed":true,"lora_dropout":0.1,)").unknown_keys, ElementsAre("unsloth_fixed"));
}

}  // namespace
}  // namespace d2c::lora
