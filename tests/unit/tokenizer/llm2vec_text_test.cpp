#include "libs/tokenizer/llm2vec_text.hpp"

#include "libs/json/json.hpp"
#include "tests/unit/tokenizer/tokenizer_files.hpp"

#include <gtest/gtest.h>

namespace d2c::tokenizer {
namespace {

std::vector<std::int32_t> integers(const Value& list) {
  std::vector<std::int32_t> out;
  for (const Value& item : list.items()) out.push_back(static_cast<std::int32_t>(item.as_int()));
  return out;
}

Llm2VecSettings settings_of(const Value& reference) {
  Llm2VecSettings settings;
  settings.pooling = reference.at("pooling").as_text();
  settings.max_length = reference.at("max_length").as_int();
  settings.skip_instruction = reference.at("skip_instruction").as_bool();
  settings.chat_wrapper = reference.at("chat_wrapper").as_bool();
  return settings;
}

/// The reference records which tokens are the text's own; the three kinds below pool just one.
std::vector<std::int32_t> pooled(const Value& input, const std::string& pooling, bool skip_instruction) {
  std::vector<std::int32_t> mask = integers(input.at("embed_mask"));
  if (pooling == "bos_token" || pooling == "eos_token" || pooling == "last_token") {
    mask.assign(mask.size(), 0);
    (pooling == "bos_token" ? mask.front() : mask.back()) = 1;
  } else if (!skip_instruction) {
    mask.assign(mask.size(), 1);
  }
  return mask;
}

TEST(Llm2VecText, IsPreparedAsByTheReferencePackage) {
  const Value references = json::parse_file("tests/data/tokenizers/llm2vec_inputs.json");
  for (const Value& reference : references.items()) {
    const Tokenizer tokenizer = testing::tokenizer_of(reference.at("tokenizer").as_text());
    const Llm2VecSettings settings = settings_of(reference);
    for (const Value& input : reference.at("inputs").items()) {
      SCOPED_TRACE(reference.at("name").as_text() + ": " + input.at("text").as_text());
      const Llm2VecText text =
          prepare_llm2vec(tokenizer, settings, input.at("instruction").as_text(), input.at("text").as_text());
      EXPECT_EQ(text.ids, integers(input.at("input_ids")));
      EXPECT_EQ(text.pooling_mask, pooled(input, settings.pooling, settings.skip_instruction));
    }
  }
}

TEST(Llm2VecText, SaysThatATextWasCut) {
  const Tokenizer tokenizer = testing::tokenizer_of("tiny_llama3");
  Llm2VecSettings settings;
  settings.max_length = 8;
  EXPECT_FALSE(prepare_llm2vec(tokenizer, settings, "", "A").cut);
  const Llm2VecText cut = prepare_llm2vec(tokenizer, settings, "", "many words that do not fit into eight tokens");
  EXPECT_TRUE(cut.cut);
  EXPECT_EQ(cut.ids.size(), 8U);
}

}  // namespace
}  // namespace d2c::tokenizer
