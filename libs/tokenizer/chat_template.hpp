// Chats as the text that a model was trained on, for the families that are converted: ChatML (Dolphin, SmolLM2, Qwen2) and
// Llama 3 with its successors. Templates are programs in Jinja; a family is recognised by what its template writes, and what
// varies inside a family (a default system message, a date) is read out of it.
#pragma once

#include "libs/tokenizer/tokenizer.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::tokenizer {

struct Message {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  /// From chat_template.jinja or tokenizer_config.json. Error(input) where there is none or its family is unknown: it says
  /// how to name one.
  [[nodiscard]] static ChatTemplate from_files(const Files& files);
  /// "chatml", "llama3"; Error(usage) names them.
  [[nodiscard]] static ChatTemplate named(std::string_view name);
  [[nodiscard]] static std::vector<std::string> names();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// With special tokens written out; to be encoded with parse_special and without add_special.
  [[nodiscard]] std::string render(std::span<const Message> messages, bool add_generation_prompt) const;
  /// The token that ends a turn, e.g. "<|im_end|>".
  [[nodiscard]] std::string end_of_turn() const;

 private:
  [[nodiscard]] std::string render_chatml(std::span<const Message> messages, bool add_generation_prompt) const;
  [[nodiscard]] std::string render_llama3(std::span<const Message> messages, bool add_generation_prompt) const;
  static ChatTemplate recognise(const std::string& source, const std::string& bos, const std::string& where);

  std::string name_;
  std::string bos_;             ///< written at the start where the template does that
  std::string default_system_;  ///< ChatML: for chats that bring none
  std::string preamble_;        ///< Llama 3.1: what every system message starts with
};

/// Tokens that end a reply: generation_config.json's, the tokenizer's end of text, and the end of a turn. Sorted.
[[nodiscard]] std::vector<std::int32_t> stop_tokens(const Files& files, const Tokenizer& tokenizer);

}  // namespace d2c::tokenizer
