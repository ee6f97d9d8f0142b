#include "plugins/llm2vec_encode/llm2vec_encode.hpp"

#include "tests/unit/llama_blocks/emission.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace d2c::llama {
namespace {

using test::FakeWeights;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const host::GraphFunction& emit(const Value& config, const Value& settings, FakeWeights& weights,
                                host::Program& program, std::vector<Delta> deltas = {}) {
  Llm2VecEncoder encoder{Config(Value::table())};
  EmitRequest request{"encode", 0, "chat", std::move(deltas), config, settings};
  return test::emit(encoder, request, weights, program);
}

Value settings(const std::string& encoder) { return test::settings(R"({"context": 32, "prefill": 8})", encoder); }

TEST(Llm2VecEncoder, GivesTheAgreedSignature) {
  FakeWeights weights;
  host::Program program;
  const auto encode = emit(test::config("bi_tiny_bf16"), settings(R"({"max_length": 24})"), weights, program);
  EXPECT_THAT(test::features(encode, D2C_NODE_INPUT),
              ElementsAre("input_ids int32[1,24]", "attention_mask int32[1,24]", "pooling_mask int32[1,24]"));
  EXPECT_THAT(test::features(encode, D2C_NODE_STATE), IsEmpty());
  EXPECT_THAT(test::outputs(encode), ElementsAre("embedding fp32[1,64]"));
}

TEST(Llm2VecEncoder, TakesShorterTextsInAFunctionOfTheirOwn) {
  FakeWeights weights;
  host::Program program;
  const Value s = settings(R"({"max_length": 24})");
  emit(test::config("bi_tiny_bf16"), s, weights, program);
  Llm2VecEncoder shorter{Config(Value(Value::Table{{"length", 8}}))};
  const auto encode =
      test::emit(shorter, {"encode_8", 0, "chat", {}, test::config("bi_tiny_bf16"), s}, weights, program);
  EXPECT_THAT(test::features(encode, D2C_NODE_INPUT), testing::Contains("input_ids int32[1,8]"));
  Llm2VecEncoder longer{Config(Value(Value::Table{{"length", 25}}))};
  EXPECT_THROW(test::emit(longer, {"encode_25", 0, "chat", {}, test::config("bi_tiny_bf16"), s}, weights, program),
               Error);
}

TEST(Llm2VecEncoder, TakesSeveralTextsAtOnceWhereAsked) {
  for (const char* attention : {"explicit", "fused"}) {
    FakeWeights weights;
    host::Program program;
    Value s = settings(R"({"max_length": 24, "pooling": "weighted_mean"})");
    s.find("graph")->set("attention", attention);
    Llm2VecEncoder encoder{Config(Value(Value::Table{{"batch", 3}}))};
    const auto encode =
        test::emit(encoder, {"encode_x3", 0, "chat", {}, test::config("bi_tiny_bf16"), s}, weights, program);
    EXPECT_THAT(test::features(encode, D2C_NODE_INPUT), testing::Contains("pooling_mask int32[3,24]"));
    EXPECT_THAT(test::outputs(encode), ElementsAre("embedding fp32[3,64]"));
  }
}

TEST(Llm2VecEncoder, DoesNotMindTheContextOfAnotherModel) {
  FakeWeights weights;
  host::Program program;
  EXPECT_NO_THROW(emit(test::config("bi_tiny_bf16"),
                       test::settings(R"({"context": 100000, "prefill": 8})", R"({"max_length": 24})"), weights,
                       program));
}

TEST(Llm2VecEncoder, BuildsEveryModelOfTheReferenceSetWithEveryPooling) {
  for (const auto& entry : std::filesystem::directory_iterator("tests/data/llama_blocks/configs"))
    for (const char* precision : {"fp16", "fp32"})
      for (const char* attention : {"explicit", "fused"})
        for (const char* pooling : {"mean", "weighted_mean", "eos_token", "last_token", "bos_token"}) {
          SCOPED_TRACE(entry.path().string() + " " + precision + " " + attention + " " + pooling);
          Value s = settings(R"({"max_length": 24})");
          s.find("graph")->set("precision", precision);
          s.find("graph")->set("attention", attention);
          s.find("encoder")->set("pooling", pooling);
          FakeWeights weights;
          weights.pad = 16;
          host::Program program;
          EXPECT_NO_THROW(emit(json::parse_file(entry.path()), s, weights, program));
        }
}

TEST(Llm2VecEncoder, NeedsNoHead) {
  FakeWeights weights;
  host::Program program;
  emit(test::config("bi_tiny_bf16"), settings("{}"), weights, program);
  for (const WeightRef& r : weights.refs) EXPECT_NE(r.tensor, "lm_head.weight");
}

TEST(Llm2VecEncoder, AddsAndTakesOffLowRankBranches) {
  FakeWeights weights;
  const std::string q = "model.layers.1.self_attn.q_proj.weight", embedding = "model.embed_tokens.weight";
  weights.ranks = {{{"encoder", q}, 4}, {{"chat", q}, 8}, {{"encoder", embedding}, 2}};
  weights.adapted_shapes = {{q, {64, 64}}, {embedding, {600, 64}}};
  host::Program program;
  const auto encode = emit(test::config("bi_tiny_bf16"), settings(R"({"max_length": 24})"), weights, program,
                           {{"encoder", 1}, {"chat", -1}});
  auto counts = test::op_counts(encode);
  EXPECT_EQ(counts["linear"], 7 * 3 + 2 * 2);
  EXPECT_EQ(counts["sub"], 1 + 1);  // the chat adapter, and one in the mask
  EXPECT_EQ(counts["gather"], 2);
  int adapter_parts = 0;
  for (const WeightRef& r : weights.refs) adapter_parts += r.role == "lora" && r.part != D2C_PART_FULL;
  EXPECT_EQ(adapter_parts, 6);
}

TEST(Llm2VecEncoder, TellsCallersHowToPool) {
  FakeWeights weights;
  host::Program program;
  emit(test::config("bi_tiny_bf16"), settings(R"({"pooling": "last_token", "skip_instruction": false})"), weights,
       program);
  const Value v = json::parse(program.metadata().at("d2c.encoder"), "metadata");
  EXPECT_EQ(v.at("version").as_int(), 1);
  EXPECT_EQ(v.at("pooling").as_text(), "last_token");
  EXPECT_EQ(v.at("max_length").as_int(), 512);
  EXPECT_EQ(v.at("hidden_size").as_int(), 64);
  EXPECT_EQ(v.at("vocab_size").as_int(), 600);
  EXPECT_EQ(v.at("doc_max_length").as_int(), 400);
  EXPECT_FALSE(v.at("skip_instruction").as_bool());
  EXPECT_FALSE(v.at("chat_wrapper").as_bool());
}

TEST(Llm2VecEncoder, PreparesTextsByTheModelsNameUnlessToldOtherwise) {
  const auto rules = [](const char* name, const char* encoder) {
    Value config = test::config("bi_tiny_bf16");
    config.set("_name_or_path", name);
    FakeWeights weights;
    host::Program program;
    emit(config, settings(encoder), weights, program);
    return json::parse(program.metadata().at("d2c.encoder"), "metadata");
  };
  EXPECT_TRUE(rules("meta-llama/Meta-Llama-3-8B-Instruct", "{}").at("chat_wrapper").as_bool());
  EXPECT_FALSE(rules("meta-llama/Meta-Llama-3-8B-Instruct", R"({"chat_wrapper": false})").at("chat_wrapper").as_bool());
  EXPECT_TRUE(rules("mine", R"({"chat_wrapper": true})").at("chat_wrapper").as_bool());
  EXPECT_EQ(rules("meta-llama/Meta-Llama-3-8B", "{}").at("end_of_text").as_text(), "<|end_of_text|>");
  EXPECT_EQ(rules("mine", R"({"end_of_text": "<end>"})").at("end_of_text").as_text(), "<end>");
}

TEST(Llm2VecEncoder, SaysWhichKeyToSet) {
  const auto refusal = [](const std::string& encoder) -> std::string {
    FakeWeights weights;
    host::Program program;
    try {
      emit(test::config("bi_tiny_bf16"), settings(encoder), weights, program);
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal(R"({"pooling": "max"})"), HasSubstr("encoder.pooling: 'max' is not one of"));
  EXPECT_THAT(refusal(R"({"max_length": 4096})"), HasSubstr("encoder.max_length is 4096; set it to 1..2048"));
  EXPECT_THAT(refusal(R"({"max_length": 0})"), HasSubstr("encoder.max_length is 0"));
}

}  // namespace
}  // namespace d2c::llama
