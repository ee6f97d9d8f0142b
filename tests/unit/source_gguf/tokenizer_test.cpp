#include "libs/json/json.hpp"
#include "tests/unit/source_gguf/gguf_builder.hpp"

#include <gmock/gmock.h>

namespace d2c::source_gguf {
namespace {

using ::testing::ElementsAre;
using testing::GgufBuilder;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OpenedModel;
using testing::small_llama;
using ::testing::ThrowsMessage;

GgufBuilder with_tokenizer() {
  GgufBuilder b = small_llama();
  b.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "smollm");
  b.texts("tokenizer.ggml.tokens", {"<s>", "a", "b", "ab", "<t>"})
      .integers("tokenizer.ggml.token_type", {3, 1, 1, 1, 4});
  b.texts("tokenizer.ggml.merges", {"a b"});
  b.u32("tokenizer.ggml.bos_token_id", 0).u32("tokenizer.ggml.eos_token_id", 4);
  return b;
}

Value asset(const OpenedModel& m, const std::string& name) {
  for (const Asset& a : m->assets())
    if (a.name == name) return json::parse(a.data, name);
  return {};
}

Value tokenizer_of(const GgufBuilder& b) { return asset(OpenedModel(b), "tokenizer.json"); }

TEST(Tokenizer, HoldsVocabularyAndMerges) {
  const Value model = tokenizer_of(with_tokenizer()).at("model");
  EXPECT_EQ(model.at("type").as_text(), "BPE");
  EXPECT_EQ(json::dump(model.at("vocab")), R"({"<s>":0,"a":1,"b":2,"ab":3,"<t>":4})");
  EXPECT_EQ(json::dump(model.at("merges")), R"(["a b"])");
  EXPECT_FALSE(model.at("ignore_merges").as_bool());
}

TEST(Tokenizer, AddsControlTokensAsSpecialOnes) {
  const Value added = tokenizer_of(with_tokenizer()).at("added_tokens");
  ASSERT_EQ(added.items().size(), 2u);
  EXPECT_EQ(added.items()[0].at("content").as_text(), "<s>");
  EXPECT_TRUE(added.items()[0].at("special").as_bool());
  EXPECT_EQ(added.items()[1].at("id").as_int(), 4);
  EXPECT_FALSE(added.items()[1].at("special").as_bool());
}

TEST(Tokenizer, SplitsTextAsTheModelWasTrained) {
  const auto steps = [](const char* pre) {
    return json::dump(tokenizer_of(with_tokenizer().text("tokenizer.ggml.pre", pre)).at("pre_tokenizer"));
  };
  EXPECT_THAT(steps("smollm"), HasSubstr(R"("individual_digits":true)"));
  EXPECT_THAT(steps("gpt-2"), ::testing::StartsWith(R"({"type":"ByteLevel")"));
  EXPECT_THAT(steps("llama-bpe"), HasSubstr(R"(\\p{N}{1,3})"));
  EXPECT_THAT(steps("qwen2"), HasSubstr(R"(|\\p{N}|)"));
  EXPECT_THAT(steps("default"), HasSubstr("[0-9][0-9][0-9]"));
  EXPECT_EQ(json::dump(tokenizer_of(with_tokenizer().remove("tokenizer.ggml.pre")).at("pre_tokenizer")),
            steps("default"));
}

TEST(Tokenizer, OfLlama3TakesWholeTokensAndStartsWithBos) {
  const OpenedModel m(with_tokenizer().text("tokenizer.ggml.pre", "llama-bpe"));
  const Value t = asset(m, "tokenizer.json");
  EXPECT_TRUE(t.at("model").at("ignore_merges").as_bool());
  EXPECT_EQ(t.at("post_processor").at("single").items().at(0).at("SpecialToken").at("id").as_text(), "<s>");
  EXPECT_TRUE(asset(m, "tokenizer_config.json").at("add_bos_token").as_bool());
}

TEST(Tokenizer, AddsBosAndEosAsTheFileSays) {
  EXPECT_EQ(tokenizer_of(with_tokenizer()).find("post_processor"), nullptr);
  const Value post =
      tokenizer_of(
          with_tokenizer().boolean("tokenizer.ggml.add_bos_token", true).boolean("tokenizer.ggml.add_eos_token", true))
          .at("post_processor");
  EXPECT_EQ(post.at("single").items().size(), 3u);
  EXPECT_EQ(json::dump(post.at("special_tokens").at("<t>").at("ids")), "[4]");
  EXPECT_EQ(tokenizer_of(
                with_tokenizer().text("tokenizer.ggml.pre", "llama-bpe").boolean("tokenizer.ggml.add_bos_token", false))
                .find("post_processor"),
            nullptr);
}

TEST(Tokenizer, ConfigNamesSpecialTokensAndTheChatTemplate) {
  const Value c =
      asset(OpenedModel(with_tokenizer().text("tokenizer.chat_template", "{{ x }}\n\"")), "tokenizer_config.json");
  EXPECT_EQ(c.at("bos_token").as_text(), "<s>");
  EXPECT_EQ(c.at("eos_token").as_text(), "<t>");
  EXPECT_EQ(c.find("pad_token"), nullptr);
  EXPECT_EQ(c.at("chat_template").as_text(), "{{ x }}\n\"");
  EXPECT_EQ(c.at("model_max_length").as_int(), 64);
}

TEST(Tokenizer, GenerationConfigNamesEveryStopToken) {
  const auto stops = [](const GgufBuilder& b) {
    return json::dump(asset(OpenedModel(b), "generation_config.json").at("eos_token_id"));
  };
  EXPECT_EQ(stops(with_tokenizer()), "4");
  EXPECT_EQ(stops(with_tokenizer().u32("tokenizer.ggml.eot_token_id", 4)), "4");
  EXPECT_EQ(stops(with_tokenizer().u32("tokenizer.ggml.eot_token_id", 0)), "[4,0]");
}

TEST(Tokenizer, OfAnotherKindCostsOnlyItsOwnFile) {
  for (const auto& [key, value] : {std::pair{"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.pre", "tekken"}}) {
    const OpenedModel m(with_tokenizer().text(key, value));
    EXPECT_TRUE(asset(m, "tokenizer.json").is_null());
    EXPECT_FALSE(asset(m, "tokenizer_config.json").is_null());
    EXPECT_THAT(m.warnings(), ElementsAre(HasSubstr(value)));
  }
}

TEST(Tokenizer, MayBeMissing) {
  const OpenedModel m(small_llama());
  EXPECT_THAT(m->assets(), IsEmpty());
  EXPECT_THAT(m.warnings(), ElementsAre(HasSubstr("no tokenizer")));
}

TEST(Tokenizer, RefusesDataThatContradictItself) {
  const auto refused = [](const GgufBuilder& b, const char* text) {
    EXPECT_THAT([&] { OpenedModel m(b); }, ThrowsMessage<Error>(HasSubstr(text)));
  };
  refused(with_tokenizer().remove("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens");
  refused(with_tokenizer().remove("tokenizer.ggml.merges"), "tokenizer.ggml.merges");
  refused(with_tokenizer().texts("tokenizer.ggml.tokens", {"a", "b", "ab", "a", "c"}), "'a' twice: 0 and 3");
  refused(with_tokenizer().texts("tokenizer.ggml.tokens", {"a", "b", "ab", "d", "e", "f"}),
          "6 items, the embedding has 5 rows");
  refused(with_tokenizer().texts("tokenizer.ggml.tokens", {"a", "b", "ab", "\xff", "e"}), "UTF-8");
  refused(with_tokenizer().integers("tokenizer.ggml.token_type", {1}), "1 items for 5 tokens");
  refused(with_tokenizer().texts("tokenizer.ggml.merges", {"a c"}), "'a c'");
  refused(with_tokenizer().texts("tokenizer.ggml.merges", {"ab"}), "'ab'");
  refused(with_tokenizer().texts("tokenizer.ggml.merges", {"a  b"}), "'a  b'");
  refused(with_tokenizer().u32("tokenizer.ggml.bos_token_id", 5), "tokenizer.ggml.bos_token_id");
  refused(with_tokenizer().integers("tokenizer.ggml.tokens", {1, 2}), "tokenizer.ggml.tokens");
}

}  // namespace
}  // namespace d2c::source_gguf
