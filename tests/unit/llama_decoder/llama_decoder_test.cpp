#include "plugins/llama_decoder/llama_decoder.hpp"

#include "libs/llama_blocks/llama_config.hpp"
#include "tests/unit/llama_blocks/emission.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

namespace d2c::llama {
namespace {

using test::FakeWeights;
using testing::ElementsAre;
using testing::HasSubstr;

const host::GraphFunction& emit(const std::string& function, const Value& config, const Value& settings,
                                FakeWeights& weights, host::Program& program) {
  LlamaDecoder decoder{Config(Value::table())};
  EmitRequest request{function, 0, "chat", {}, config, settings};
  return test::emit(decoder, request, weights, program);
}

std::string refusal(const std::string& function, const Value& config, const Value& settings) {
  FakeWeights weights;
  host::Program program;
  try {
    emit(function, config, settings, weights, program);
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

const std::string kSmall = R"({"context": 32, "prefill": 8})";

TEST(LlamaDecoder, GivesBothFunctionsTheAgreedSignatures) {
  FakeWeights weights;
  host::Program program;
  const auto init = emit("init", test::config("gqa_bf16"), test::settings(kSmall), weights, program);
  EXPECT_THAT(test::features(init, D2C_NODE_INPUT),
              ElementsAre("input_ids int32[1,8]", "position int32[1]", "length int32[1]"));
  EXPECT_THAT(test::features(init, D2C_NODE_STATE), ElementsAre("kv_cache fp16[6,2,32,16]"));
  EXPECT_THAT(test::outputs(init), ElementsAre("logits fp16[1,320]"));
  const auto decode = emit("decode", test::config("gqa_bf16"), test::settings(kSmall), weights, program);
  EXPECT_THAT(test::features(decode, D2C_NODE_INPUT), ElementsAre("input_ids int32[1,1]", "position int32[1]"));
  EXPECT_THAT(test::features(decode, D2C_NODE_STATE), ElementsAre("kv_cache fp16[6,2,32,16]"));
  EXPECT_THAT(test::outputs(decode), ElementsAre("logits fp16[1,320]"));
}

TEST(LlamaDecoder, GivesTheLogitsOfEveryTokenWhereAsked) {
  FakeWeights weights;
  host::Program program;
  Value options = Value::table();
  options.set("all_logits", true);
  LlamaDecoder decoder{Config(options)};
  const EmitRequest request{"init", 0, "chat", {}, test::config("gqa_bf16"), test::settings(kSmall)};
  const auto init = test::emit(decoder, request, weights, program);
  EXPECT_THAT(test::features(init, D2C_NODE_INPUT), ElementsAre("input_ids int32[1,8]", "position int32[1]"));
  EXPECT_THAT(test::outputs(init), ElementsAre("logits fp16[8,320]"));
}

TEST(LlamaDecoder, BuildsEveryModelOfTheReferenceSetInEveryForm) {
  for (const auto& entry : std::filesystem::directory_iterator("tests/data/llama_blocks/configs"))
    for (const char* precision : {"fp16", "fp32"})
      for (const char* attention : {"explicit", "fused"})
        for (const char* kv : {"packed", "split"}) {
          SCOPED_TRACE(entry.path().string() + " " + precision + " " + attention + " " + kv);
          Value settings = test::settings(kSmall);
          Value& graph = *settings.find("graph");
          graph.set("precision", precision);
          graph.set("attention", attention);
          graph.set("kv", kv);
          const Value config = json::parse_file(entry.path());
          FakeWeights weights;
          weights.pad = 16;
          host::Program program;
          const std::string vocabulary = std::to_string(LlamaConfig::parse(config).vocab_size);
          for (const char* function : {"init", "decode"})
            EXPECT_THAT(test::outputs(emit(function, config, settings, weights, program)),
                        ElementsAre("logits " + std::string(precision) + "[1," + vocabulary + "]"));
        }
}

TEST(LlamaDecoder, WritesEachLayersKeysAndValuesOnceIntoTheState) {
  FakeWeights weights;
  host::Program program;
  const auto decode = emit("decode", test::config("gqa_bf16"), test::settings(kSmall), weights, program);
  auto counts = test::op_counts(decode);
  EXPECT_EQ(counts["slice_update"], 2 * 3);
  EXPECT_EQ(counts["write_state"], 2 * 3);
  EXPECT_EQ(counts["read_state"], 2 * 2 * 3);
  EXPECT_EQ(counts["linear"], 7 * 3 + 1);
  EXPECT_EQ(counts["softmax"], 3);
  EXPECT_EQ(counts["rsqrt"], 2 * 3 + 1);
  EXPECT_EQ(counts["gather"], 1);
}

TEST(LlamaDecoder, SplitsTheCacheIntoTwoStatesWhenAsked) {
  FakeWeights weights;
  host::Program program;
  const Value settings = test::settings(R"({"context": 32, "prefill": 8, "kv": "split"})");
  const auto decode = emit("decode", test::config("gqa_bf16"), settings, weights, program);
  EXPECT_THAT(test::features(decode, D2C_NODE_STATE),
              ElementsAre("k_cache fp16[3,2,32,16]", "v_cache fp16[3,2,32,16]"));
}

TEST(LlamaDecoder, AnFp32GraphCachesWhatFp16LeavesOverInRowsOfItsOwn) {
  FakeWeights weights;
  host::Program program, other;
  const Value packed = test::settings(R"({"context": 32, "prefill": 8, "precision": "fp32"})");
  const auto decode = emit("decode", test::config("gqa_bf16"), packed, weights, program);
  EXPECT_THAT(test::features(decode, D2C_NODE_STATE), ElementsAre("kv_cache fp16[12,2,32,16]"));
  EXPECT_EQ(test::op_counts(decode)["slice_update"], 2 * 2 * 3);
  const Value split = test::settings(R"({"context": 32, "prefill": 8, "precision": "fp32", "kv": "split"})");
  EXPECT_THAT(test::features(emit("init", test::config("gqa_bf16"), split, weights, other), D2C_NODE_STATE),
              ElementsAre("k_cache fp16[6,2,32,16]", "v_cache fp16[6,2,32,16]"));
}

TEST(LlamaDecoder, SlicesPaddedRowsOffEveryLinear) {
  FakeWeights weights;
  weights.pad = 48;  // divides none of the sizes below
  host::Program program;
  const auto decode = emit("decode", test::config("minimal_config"), test::settings(kSmall), weights, program);
  EXPECT_THAT(test::outputs(decode), ElementsAre("logits fp16[1,300]"));
  auto counts = test::op_counts(decode);
  // cos, sin and the two cache reads of each layer, plus every linear but gate and up (144 rows = 3 * 48).
  EXPECT_EQ(counts["slice_by_size"], 2 + 2 * 2 + 5 * 2 + 1);
}

TEST(LlamaDecoder, AddsBiasesWhereTheConfigHasThem) {
  FakeWeights weights;
  host::Program program;
  const auto decode = emit("decode", test::config("bias_fp32"), test::settings(kSmall), weights, program);
  int with_bias = 0;
  for (const host::GraphOp& op : decode.ops)
    for (const host::GraphArgument& a : op.arguments) with_bias += op.type == "linear" && a.name == "bias";
  EXPECT_EQ(with_bias, 7 * 2);
}

TEST(LlamaDecoder, RefersToEachWeightWithItsRole) {
  FakeWeights weights;
  host::Program program;
  emit("decode", test::config("bias_fp32"), test::settings(kSmall), weights, program);
  std::set<std::string> roles;
  std::map<std::string, Shape> shapes;
  for (const WeightRef& r : weights.refs) {
    roles.insert(r.role);
    shapes[r.tensor] = r.shape;
    EXPECT_EQ(r.stack, "chat");
  }
  EXPECT_THAT(roles, ElementsAre("attention", "bias", "embedding", "lm_head", "mlp", "norm"));
  EXPECT_EQ(weights.refs.size(), 3u + 2 * (2 + 7 + 7));
  EXPECT_EQ(shapes["model.layers.1.self_attn.k_proj.weight"], (Shape{32, 64}));
  EXPECT_EQ(shapes["model.layers.1.mlp.down_proj.weight"], (Shape{64, 160}));
  EXPECT_EQ(shapes["model.layers.1.mlp.down_proj.bias"], (Shape{64}));
}

TEST(LlamaDecoder, SharesConstantsBetweenTheFunctions) {
  FakeWeights weights;
  host::Program program;
  emit("init", test::config("gqa_bf16"), test::settings(kSmall), weights, program);
  emit("decode", test::config("gqa_bf16"), test::settings(kSmall), weights, program);
  int tables = 0;
  for (const Constant& c : program.constants()) tables += c.type.shape == Shape{32, 16};
  EXPECT_EQ(tables, 2);
}

TEST(LlamaDecoder, DescribesTheModelForRuntimes) {
  FakeWeights weights;
  host::Program program;
  emit("init", test::config("llama32_3b_like"), test::settings(kSmall), weights, program);
  const Value v = json::parse(program.metadata().at("d2c.model"), "metadata");
  EXPECT_EQ(v.at("version").as_int(), 1);
  EXPECT_EQ(v.at("architecture").as_text(), "LlamaForCausalLM");
  EXPECT_EQ(v.at("context").as_int(), 32);
  EXPECT_EQ(v.at("prefill").as_int(), 8);
  EXPECT_EQ(v.at("kv").as_text(), "packed");
  EXPECT_EQ(v.at("eos_token_ids").items().size(), 3u);
  EXPECT_EQ(v.at("rope").at("type").as_text(), "llama3");
}

TEST(LlamaDecoder, RefusesWhatItCannotBuild) {
  EXPECT_THAT(refusal("encode", test::config("gqa_bf16"), test::settings(kSmall)), HasSubstr("not 'encode'"));
  EXPECT_THAT(refusal("init", test::config("gqa_bf16"), test::settings(R"({"context": 32, "prefill": 64})")),
              HasSubstr("set graph.prefill to 1..32"));
  EXPECT_THAT(refusal("init", test::config("gqa_bf16"), test::settings(R"({"kv": "io"})")), HasSubstr("io"));
}

}  // namespace
}  // namespace d2c::llama
