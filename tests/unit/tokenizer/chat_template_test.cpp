#include "libs/tokenizer/chat_template.hpp"

#include "libs/json/json.hpp"
#include "tests/unit/tokenizer/tokenizer_files.hpp"

#include <d2c/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace d2c::tokenizer {
namespace {

ChatTemplate of_source(const std::string& source) {
  return ChatTemplate::from_files({{"chat_template.jinja", source}});
}

TEST(ChatTemplate, WritesSmolLm2sChatsAsTransformersDoes) {
  const Value chats = json::parse_file("tests/data/tokenizers/smollm2_chats.json");
  const ChatTemplate chat = of_source(chats.at("chat_template").as_text());
  EXPECT_EQ(chat.name(), "chatml");
  for (const Value& reference : chats.at("cases").items()) {
    std::vector<Message> messages;
    for (const Value& m : reference.at("messages").items())
      messages.push_back({m.at("role").as_text(), m.at("content").as_text()});
    EXPECT_EQ(chat.render(messages, true), reference.at("rendered").as_text());
  }
}

TEST(ChatTemplate, IsRecognisedByWhatItWrites) {
  EXPECT_EQ(of_source("{{ '<|im_start|>' }}{{ '<|im_end|>' }}").name(), "chatml");
  EXPECT_EQ(of_source("{{ bos_token }}<|start_header_id|>x<|end_header_id|><|eot_id|>").name(), "llama3");
}

TEST(ChatTemplate, TakesTheDefaultOfSeveral) {
  const ChatTemplate chat = ChatTemplate::from_files({{"tokenizer_config.json", R"({"chat_template": [
    {"name": "tool_use", "template": "unknown"}, {"name": "default", "template": "<|im_start|><|im_end|>"}]})"}});
  EXPECT_EQ(chat.name(), "chatml");
}

TEST(ChatTemplate, OfAnUnknownFamilySaysHowToNameOne) {
  try {
    (void)of_source("[INST] {{ message }} [/INST]");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("--chat-template"), std::string::npos) << e.what();
  }
  EXPECT_THROW((void)ChatTemplate::named("alpaca"), Error);
}

TEST(ChatTemplate, OfLlama3TrimsMessages) {
  const std::vector<Message> messages{{"user", "  hi \n"}};
  EXPECT_EQ(ChatTemplate::named("llama3").render(messages, true),
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(StopTokens, ComeFromTheModelsOwnFiles) {
  Files files = testing::files_of("tiny_llama3");
  const Tokenizer tokenizer = Tokenizer::from_files(files);
  files["generation_config.json"] = R"({"eos_token_id": [7, 3, 100000000]})";
  const auto stops = stop_tokens(files, tokenizer);
  EXPECT_TRUE(std::ranges::binary_search(stops, 3));
  EXPECT_TRUE(std::ranges::binary_search(stops, 7));
  EXPECT_TRUE(std::ranges::binary_search(stops, tokenizer.id_of("<|eot_id|>").value()));
  EXPECT_FALSE(std::ranges::binary_search(stops, 100000000));
}

}  // namespace
}  // namespace d2c::tokenizer
