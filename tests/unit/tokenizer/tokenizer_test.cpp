#include "libs/tokenizer/tokenizer.hpp"

#include "libs/json/json.hpp"
#include "tests/unit/tokenizer/tokenizer_files.hpp"

#include <d2c/error.hpp>

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace d2c::tokenizer {
namespace {

using testing::tokenizer_of;
using Ids = std::vector<std::int32_t>;

constexpr EncodeOptions kParseSpecial{.add_special = false, .parse_special = true};

/// A byte-pair model of a few letters, with what a test adds to it.
Tokenizer small(const std::string& model_options, const std::string& more = "") {
  return Tokenizer::from_files({{"tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2,
    "<unk>": 3, "<0xC3>": 4, "<0xA9>": 5, "abb": 6}, "merges": ["a b", ["ab", "b"]])" +
                                                       model_options + "}" + more + "}"}});
}

std::string refusal(const Files& files) {
  try {
    (void)Tokenizer::from_files(files);
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

std::string random_text(std::mt19937& random) {
  std::string text;
  for (auto n = random() % 40; n > 0; --n) {
    const char32_t limit = std::array<char32_t, 4>{0x80, 0x800, 0xD800, 0x110000}[random() % 4];
    char32_t c = 1 + static_cast<char32_t>(random() % (limit - 1));
    if (c >= 0xD800 && c < 0xE000) c = 0x180E;
    if (c < 0x80) {
      text += static_cast<char>(c);
      continue;
    }
    const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    text += static_cast<char>(0xFF00 >> (more + 1) | c >> 6 * more);
    for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | (c >> 6 * i & 0x3F));
  }
  return text;
}

TEST(Tokenizer, GivesTheIdsOfHuggingFacesTokenizers) {
  const Tokenizer tokenizer = tokenizer_of("tiny_llama3");
  const Value references = json::parse_file("tests/data/tokenizers/tiny_llama3_ids.json");
  for (const Value& reference : references.items()) {
    Ids ids;
    for (const Value& id : reference.at("ids").items()) ids.push_back(static_cast<std::int32_t>(id.as_int()));
    const std::string& text = reference.at("text").as_text();
    SCOPED_TRACE(text);
    EXPECT_EQ(tokenizer.encode(text, kParseSpecial), ids);
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST(Tokenizer, DecodesToTheTextItEncoded) {
  const Tokenizer tokenizer = tokenizer_of("tiny_llama3");
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    const std::string text = random_text(random);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, TakesSpecialTokensForTextUnlessAsked) {
  const Tokenizer tokenizer = tokenizer_of("tiny_llama3");
  const Ids special{tokenizer.id_of("<|eot_id|>").value()};
  EXPECT_EQ(tokenizer.encode("<|eot_id|>", kParseSpecial), special);
  EXPECT_GT(tokenizer.encode("<|eot_id|>").size(), 1U);
  EXPECT_EQ(tokenizer.decode(special, true), "");
}

TEST(Tokenizer, ReadsLongWordsInLittleTime) {
  const Tokenizer tokenizer = tokenizer_of("tiny_llama3");
  for (const char* unit : {"a", " ", "\n", "!", "'s", "\xF0\x9F\x98\x80"}) {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += unit;
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, MergesByRankInBothSpellings) { EXPECT_EQ(small("").encode("abbab"), (Ids{6, 2})); }

TEST(Tokenizer, FallsBackToBytesAndThenToTheUnknownToken) {
  EXPECT_EQ(small(R"(, "byte_fallback": true)").encode("a\xC3\xA9"), (Ids{0, 4, 5}));
  EXPECT_EQ(small(R"(, "unk_token": "<unk>")").encode("axxb"), (Ids{0, 3, 3, 1}));
  EXPECT_EQ(small(R"(, "unk_token": "<unk>", "fuse_unk": true)").encode("axxb"), (Ids{0, 3, 1}));
}

TEST(Tokenizer, LetsAddedTokensTakeWhiteSpaceAlong) {
  const Tokenizer tokenizer = small("", R"(, "added_tokens": [{"id": 7, "content": "#", "lstrip": true, "rstrip": true},
    {"id": 8, "content": "b", "single_word": true}])");
  EXPECT_EQ(tokenizer.encode("a # ab"), (Ids{0, 7, 2}));
  EXPECT_EQ(tokenizer.encode("b"), (Ids{8}));
}

TEST(Tokenizer, RefusesBytesThatAreNoText) {
  const Tokenizer tokenizer = tokenizer_of("tiny_llama3");
  for (const char* text : {"\xFF", "\xC3", "\xED\xA0\x80", "\xC0\x80"})
    EXPECT_THROW((void)tokenizer.encode(text), Error);
  EXPECT_THROW((void)tokenizer.decode(Ids{-1}), Error);
  EXPECT_THROW((void)tokenizer.decode(Ids{tokenizer.size()}), Error);
}

TEST(Tokenizer, NamesTheStepItDoesNotKnow) {
  const std::string model = R"("model": {"type": "BPE", "vocab": {"a": 0}, "merges": []})";
  EXPECT_NE(refusal({{"tokenizer.json", "{" + model + R"(, "normalizer": {"type": "Nmt"}})"}}).find("Nmt"),
            std::string::npos);
  EXPECT_NE(refusal({{"tokenizer.json", "{" + model + R"(, "pre_tokenizer": {"type": "UnicodeScripts"}})"}})
                .find("UnicodeScripts"),
            std::string::npos);
  EXPECT_NE(refusal({{"tokenizer.json", R"({"model": {"type": "Unigram", "vocab": []}})"}}).find("Unigram"),
            std::string::npos);
}

TEST(Tokenizer, RefusesMalformedFiles) {
  for (const char* text : {"", "[]", "{}", R"({"model": 1})", R"({"model": {"type": "BPE"}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": 9000000000}, "merges": []}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a c"]}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}})",
                           R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
            "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}})"})
    EXPECT_NE(refusal({{"tokenizer.json", text}}), "") << text;
  for (const char* text : {"", "????", "YQ== 1\n", "YQ==\n"})
    EXPECT_NE(refusal({{"tokenizer.model", text}}), "") << text;
}

TEST(StreamDecoder, NeverEmitsHalfACharacter) {
  const Tokenizer tokenizer = tokenizer_of("tiny_llama3");
  const std::string text = "na\xC3\xAFve \xF0\x9F\x98\x80 \xE4\xB8\xAD!";
  StreamDecoder stream(tokenizer);
  std::string whole;
  for (const std::int32_t id : tokenizer.encode(text)) {
    const std::string part = stream.push(id);
    EXPECT_NO_THROW((void)tokenizer.encode(part));
    whole += part;
  }
  EXPECT_EQ(whole + stream.finish(), text);
}

TEST(StreamDecoder, ReplacesACharacterThatNeverEnds) {
  const Tokenizer tokenizer = tokenizer_of("tiny_llama3");
  const Ids ids = tokenizer.encode("\xF0\x9F\x98\x80");
  ASSERT_GT(ids.size(), 1U);
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace d2c::tokenizer
