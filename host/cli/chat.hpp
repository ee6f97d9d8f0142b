// `chat`: a conversation, in a terminal or line by line from a script.
#pragma once

#include "host/inference/chat.hpp"
#include "host/inference/model.hpp"

#include <string>

namespace d2c::host::cli {

struct Arguments;

struct ChatCommandOptions {
  std::string chat_template;  ///< empty: the model's own
  std::string variant;        ///< whose functions answer; empty: init and decode
  std::string tokenizer;      ///< where the tokenizer's files are, if not in the package
  bool once = false;          ///< all of stdin is one message
  ChatOptions chat;
  RunnerOptions runner;
};

[[nodiscard]] std::string chat(const Arguments& arguments);

}  // namespace d2c::host::cli
