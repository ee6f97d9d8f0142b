// Any bytes as a tokenizer's file, then the same bytes as text: an error, or tokens that decode; never a crash.
#include "libs/tokenizer/chat_template.hpp"

#include <d2c/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using namespace d2c::tokenizer;

void run(const Files& files, const std::string& text) {
  try {
    const Tokenizer tokenizer = Tokenizer::from_files(files);
    const auto ids = tokenizer.encode(text, {.add_special = true, .parse_special = true});
    (void)stop_tokens(files, tokenizer);
    StreamDecoder stream(tokenizer);
    for (const std::int32_t id : ids) (void)stream.push(id);
    (void)stream.finish();
  } catch (const d2c::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const std::string text = "a <|eot_id|>b\xC3\xA9 12\n";
  run({{"tokenizer.json", bytes}}, text);
  run({{"tokenizer.model", bytes}}, text);
  return 0;
}
