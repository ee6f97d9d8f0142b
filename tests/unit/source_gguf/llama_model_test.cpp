#include "tests/unit/source_gguf/gguf_builder.hpp"

#include <gmock/gmock.h>

namespace d2c::source_gguf {
namespace {

using ::testing::AllOf;
using testing::GgufBuilder;
using ::testing::HasSubstr;
using testing::OpenedModel;
using testing::small_llama;
using ::testing::ThrowsMessage;

Value config_of(const GgufBuilder& b) { return OpenedModel(b)->config(); }

auto refused_with(const std::string& text) {
  return ThrowsMessage<Error>(AllOf(HasSubstr("m.gguf: "), HasSubstr(text)));
}

TEST(LlamaModel, StatesTheConfigInHuggingFaceTerms) {
  GgufBuilder b = small_llama();
  b.u32("tokenizer.ggml.bos_token_id", 1)
      .u32("tokenizer.ggml.eos_token_id", 2)
      .u32("tokenizer.ggml.padding_token_id", 3);
  const Value c = config_of(b);
  EXPECT_EQ(c.at("model_type").as_text(), "llama");
  EXPECT_EQ(c.at("architectures").items().at(0).as_text(), "LlamaForCausalLM");
  EXPECT_EQ(c.at("hidden_size").as_int(), 8);
  EXPECT_EQ(c.at("intermediate_size").as_int(), 6);
  EXPECT_EQ(c.at("num_hidden_layers").as_int(), 1);
  EXPECT_EQ(c.at("num_attention_heads").as_int(), 2);
  EXPECT_EQ(c.at("num_key_value_heads").as_int(), 1);
  EXPECT_EQ(c.at("head_dim").as_int(), 4);
  EXPECT_EQ(c.at("vocab_size").as_int(), 5);
  EXPECT_EQ(c.at("max_position_embeddings").as_int(), 64);
  EXPECT_EQ(c.at("rms_norm_eps").as_real(), 1e-5) << "the decimal that was meant, not its nearest fp32";
  EXPECT_EQ(c.at("rope_theta").as_real(), 500000);
  EXPECT_EQ(c.find("rope_scaling"), nullptr);
  EXPECT_FALSE(c.at("attention_bias").as_bool());
  EXPECT_FALSE(c.at("mlp_bias").as_bool());
  EXPECT_EQ(c.at("bos_token_id").as_int(), 1);
  EXPECT_EQ(c.at("eos_token_id").as_int(), 2);
  EXPECT_EQ(c.at("pad_token_id").as_int(), 3);
  EXPECT_EQ(c.at("torch_dtype").as_text(), "float16");
}

TEST(LlamaModel, IsTiedWithoutAnOutputTensor) {
  EXPECT_TRUE(config_of(small_llama()).at("tie_word_embeddings").as_bool());
  const OpenedModel untied(small_llama().floats("output.weight", {8, 5}));
  EXPECT_FALSE(untied->config().at("tie_word_embeddings").as_bool());
  EXPECT_EQ(untied->tensors()[untied.index("lm_head.weight")].type.shape, (Shape{5, 8}));
}

TEST(LlamaModel, ReversesDimensions) {
  const OpenedModel m(small_llama());
  EXPECT_EQ(m->tensors()[m.index("model.layers.0.mlp.down_proj.weight")].type.shape, (Shape{8, 6}));
}

TEST(LlamaModel, NoticesBiases) {
  const Value c = config_of(small_llama().floats("blk.0.attn_output.bias", {8}).floats("blk.0.ffn_gate.bias", {6}));
  EXPECT_TRUE(c.at("attention_bias").as_bool());
  EXPECT_TRUE(c.at("mlp_bias").as_bool());
}

TEST(LlamaModel, TakesTheHeadSizeFromTheFile) {
  GgufBuilder b = small_llama();
  b.u32("llama.attention.key_length", 2).u32("llama.attention.value_length", 2);
  for (const char* part : {"q", "k", "v", "output"}) b.drop_tensor(std::string("blk.0.attn_") + part + ".weight");
  b.floats("blk.0.attn_q.weight", {8, 4})
      .floats("blk.0.attn_k.weight", {8, 2})
      .floats("blk.0.attn_v.weight", {8, 2})
      .floats("blk.0.attn_output.weight", {4, 8});
  EXPECT_EQ(config_of(b).at("head_dim").as_int(), 2);
}

TEST(LlamaModel, AcceptsPerLayerValuesThatAgree) {
  EXPECT_EQ(config_of(small_llama().integers("llama.attention.head_count_kv", {1})).at("num_key_value_heads").as_int(),
            1);
  EXPECT_THAT(
      [] {
        config_of(small_llama().integers("llama.attention.head_count_kv", {1, 2}));
      },
      refused_with("head_count_kv"));
}

TEST(LlamaModel, RefusesOtherArchitecturesByName) {
  EXPECT_THAT([] { config_of(small_llama().text("general.architecture", "gemma2")); }, refused_with("'gemma2'"));
  EXPECT_THAT([] { config_of(small_llama().remove("general.architecture")); }, refused_with("general.architecture"));
  EXPECT_THAT([] { config_of(small_llama().text("general.type", "adapter")); }, refused_with("'adapter'"));
}

TEST(LlamaModel, RefusesWhatLlamaDoesNotCompute) {
  EXPECT_THAT([] { config_of(small_llama().u32("llama.expert_count", 8)); }, refused_with("mixture of experts"));
  EXPECT_THAT([] { config_of(small_llama().f32("llama.logit_scale", 2)); }, refused_with("llama.logit_scale"));
  EXPECT_THAT([] { config_of(small_llama().u32("llama.rope.dimension_count", 2)); },
              refused_with("llama.rope.dimension_count"));
  EXPECT_THAT([] { config_of(small_llama().boolean("llama.attention.causal", false)); },
              refused_with("llama.attention.causal"));
  EXPECT_THAT(
      [] {
        config_of(
            small_llama().value("split.count", ValueType::u16, testing::ByteString().put(std::uint16_t{3}).str()));
      },
      refused_with("shard"));
}

TEST(LlamaModel, RefusesMissingAndContradictingMetadata) {
  for (const char* key :
       {"llama.block_count", "llama.context_length", "llama.embedding_length", "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"}) {
    EXPECT_THAT([&] { config_of(small_llama().remove(key)); }, refused_with(key));
  }
  EXPECT_THAT([] { config_of(small_llama().u32("llama.vocab_size", 6)); }, refused_with("llama.vocab_size"));
  EXPECT_THAT([] { config_of(small_llama().u32("llama.attention.head_count", 3)); },
              refused_with("llama.attention.head_count"));
  EXPECT_THAT([] { config_of(small_llama().u32("llama.attention.head_count_kv", 0)); },
              refused_with("llama.attention.head_count_kv"));
  EXPECT_THAT([] { config_of(small_llama().text("llama.block_count", "1")); }, refused_with("not an integer"));
  EXPECT_THAT([] { config_of(small_llama().f32("llama.rope.freq_base", -1)); }, refused_with("llama.rope.freq_base"));
}

TEST(LlamaModel, RefusesTensorsItDoesNotKnow) {
  for (const char* name : {"blk.0.attn_sinks.weight", "blk.1.attn_q.weight", "blk.00.attn_q.weight",
                           "blk.-1.attn_q.weight", "blk.0.attn_norm.bias", "blk.0.attn_q.scale", "blk.0.weight",
                           "blk..attn_q.weight", "blk.", "rope_factors_long.weight", "output.bias"}) {
    EXPECT_THAT([&] { config_of(small_llama().floats(name, {8})); }, refused_with(name)) << name;
  }
}

TEST(LlamaModel, RefusesAModelThatLacksATensor) {
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_k.weight", "blk.0.ffn_norm.weight"}) {
    EXPECT_THAT([&] { config_of(small_llama().drop_tensor(name)); }, refused_with(name)) << name;
  }
  EXPECT_THAT([] { config_of(small_llama().u32("llama.block_count", 2)); }, refused_with("blk.1."));
}

TEST(LlamaModel, RefusesATensorOfAnotherShape) {
  EXPECT_THAT(
      [] {
        config_of(small_llama().drop_tensor("blk.0.attn_k.weight").floats("blk.0.attn_k.weight", {8, 8}));
      },
      refused_with("tensor 'blk.0.attn_k.weight' has the shape [8,8] where the metadata ask for [4,8]"));
}

}  // namespace
}  // namespace d2c::source_gguf
