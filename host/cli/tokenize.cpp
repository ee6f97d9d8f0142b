#include "host/cli/tokenize.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/line_input.hpp"
#include "host/cli/output.hpp"
#include "host/inference/tokenizer_files.hpp"
#include "host/loader/plugin_registry.hpp"
#include "libs/tokenizer/tokenizer.hpp"

namespace d2c::host::cli {
namespace {

std::string decode(const tokenizer::Tokenizer& tokenizer, const TokenizeOptions& o, bool json) {
  tokenizer::StreamDecoder decoder(tokenizer, o.skip_special);
  std::string text;
  for (const std::int32_t token : o.tokens) text += decoder.push(token);
  text += decoder.finish();
  Value value = Value::table();
  value.set("text", text);
  return result(json, value, text + "\n");
}

}  // namespace

std::string tokenize(const Arguments& a) {
  PluginRegistry plugins(a.plugin_dirs, {});
  const auto tokenizer = tokenizer::Tokenizer::from_files(tokenizer_files(plugins, a.subject));
  const TokenizeOptions& o = a.tokenize;
  if (!o.tokens.empty()) return decode(tokenizer, o, a.json);
  const auto ids = tokenizer.encode(read_stdin(), {.add_special = o.add_bos, .parse_special = o.parse_special});
  Value value = Value::table();
  value.set("ids", Value::List(ids.begin(), ids.end()));
  return result(a.json, value, token_list(ids) + "\n");
}

}  // namespace d2c::host::cli
