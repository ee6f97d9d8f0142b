// Any bytes as a chat template, in a file of its own and in tokenizer_config.json: an error, or a family that renders a chat;
// never a crash.
#include "libs/json/json.hpp"
#include "libs/tokenizer/chat_template.hpp"

#include <d2c/error.hpp>
#include <d2c/value.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using namespace d2c::tokenizer;

void run(const Files& files) {
  try {
    const ChatTemplate chat = ChatTemplate::from_files(files);
    const std::vector<Message> messages{{"system", "Be kind."}, {"user", "hi"}, {"assistant", "hello"}};
    const std::string closed = chat.render(messages, false);
    if (!chat.render(messages, true).starts_with(closed) || chat.end_of_turn().empty()) std::abort();
  } catch (const d2c::Error& e) {
    if (e.code() != d2c::Code::input) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  run({{"chat_template.jinja", bytes}});
  run({{"tokenizer_config.json", bytes}});
  d2c::Value config = d2c::Value::table();
  config.set("bos_token", "<s>");
  config.set("chat_template", bytes);
  run({{"tokenizer_config.json", d2c::json::dump(config)}});
  return 0;
}
