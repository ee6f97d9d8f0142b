#include "libs/tokenizer/chat_template.hpp"

#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <set>

namespace d2c::tokenizer {
namespace {

constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kChatMl = "chatml";
constexpr const char* kLlama3 = "llama3";

std::string how_to_name_one() {
  std::string names;
  for (const std::string& name : ChatTemplate::names()) names += (names.empty() ? "" : ", ") + name;
  return "; name one with --chat-template (" + names + ")";
}

Value parse(const Files& files, const char* name) {
  const auto file = files.find(name);
  return file == files.end() ? Value::table() : json::parse(file->second, name);
}

/// The template's text: a file of its own, or the configuration's string, or of several the one called "default".
std::string template_source(const Files& files, const Value& config) {
  if (const auto file = files.find("chat_template.jinja"); file != files.end()) return file->second;
  const Value* source = config.find("chat_template");
  if (source == nullptr) return {};
  if (source->is_text()) return source->as_text();
  for (const Value& entry : source->items())
    if (entry.at("name").as_text() == "default") return entry.at("template").as_text();
  return {};
}

/// What a literal of the template says.
std::string unescaped(std::string text) {
  for (const auto& [from, to] :
       {std::pair("\\n", "\n"), std::pair("\\t", "\t"), std::pair("\\'", "'"), std::pair("\\\"", "\"")})
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; ++at) text.replace(at, 2, to);
  return text;
}

/// The literal between two marks, empty where there is none or something computed stands there.
std::string literal_between(const std::string& source, const std::string& before, const std::string& after) {
  for (std::size_t at = 0; (at = source.find(before, at)) != std::string::npos; ++at) {
    const std::size_t begin = at + before.size(), end = source.find(after, begin);
    if (end == std::string::npos) return {};
    const std::string text = source.substr(begin, end - begin);
    const bool computed = text.find("' +") != std::string::npos || text.find("\" +") != std::string::npos ||
                          text.find("{{") != std::string::npos || text.find("{%") != std::string::npos;
    if (!computed && !text.empty()) return unescaped(text);
  }
  return {};
}

std::string default_system(const std::string& source) {
  for (const char* newline : {"\\n", "\n"}) {
    const std::string found = literal_between(source, std::string("<|im_start|>system") + newline, "<|im_end|>");
    if (!found.empty()) return found;
  }
  return {};
}

/// Llama 3.1 and later open every chat with two dates. Where a template asks for today's, its own fallback is taken, so that a
/// chat reads the same tomorrow.
std::string dated_preamble(const std::string& source) {
  if (source.find("Cutting Knowledge Date: ") == std::string::npos) return {};
  std::string cut = literal_between(source, "Cutting Knowledge Date: ", "\\n");
  if (cut.empty()) cut = literal_between(source, "Cutting Knowledge Date: ", "\n");
  const std::string today = literal_between(source, "date_string = \"", "\"");
  if (cut.empty() || today.empty()) return {};
  return "Cutting Knowledge Date: " + cut + "\nToday Date: " + today + "\n\n";
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\n\r\v\f");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n\r\v\f") - first + 1);
}

std::string token_text(const Value& config, const char* key) {
  const Value* token = config.find(key);
  if (token == nullptr) return {};
  return token->is_table() ? token->text_or("content", "") : token->as_text();
}

}  // namespace

std::vector<std::string> ChatTemplate::names() { return {kChatMl, kLlama3}; }

ChatTemplate ChatTemplate::named(std::string_view name) {
  ChatTemplate t;
  t.name_ = name;
  if (name != kChatMl && name != kLlama3)
    fail_usage("there is no chat template '" + std::string(name) + "'" + how_to_name_one());
  if (name == kLlama3) t.bos_ = "<|begin_of_text|>";
  return t;
}

ChatTemplate ChatTemplate::from_files(const Files& files) {
  const Value config = parse(files, kConfig);
  const std::string source = template_source(files, config);
  if (source.empty()) fail_input("the model's files have no chat template" + how_to_name_one());
  return recognise(source, token_text(config, "bos_token"), kConfig);
}

ChatTemplate ChatTemplate::recognise(const std::string& source, const std::string& bos, const std::string& where) {
  const auto has = [&](const char* text) { return source.find(text) != std::string::npos; };
  ChatTemplate t;
  if (has("<|im_start|>") && has("<|im_end|>")) {
    t = named(kChatMl);
    t.default_system_ = default_system(source);
  } else if (has("<|start_header_id|>") && has("<|eot_id|>")) {
    t = named(kLlama3);
    t.preamble_ = dated_preamble(source);
  } else {
    fail_input(where + ": its chat template is of no known family" + how_to_name_one());
  }
  t.bos_ = has("bos_token") ? bos : has("<|begin_of_text|>") ? "<|begin_of_text|>" : "";
  return t;
}

std::string ChatTemplate::render(std::span<const Message> messages, bool add_generation_prompt) const {
  return name_ == kChatMl ? render_chatml(messages, add_generation_prompt)
                          : render_llama3(messages, add_generation_prompt);
}

std::string ChatTemplate::render_chatml(std::span<const Message> messages, bool add_generation_prompt) const {
  std::string out = bos_;
  const auto turn = [&](const std::string& role, const std::string& content) {
    out += "<|im_start|>" + role + "\n" + content + "<|im_end|>\n";
  };
  if (!default_system_.empty() && !messages.empty() && messages[0].role != "system") turn("system", default_system_);
  for (const Message& m : messages) turn(m.role, m.content);
  return add_generation_prompt ? out + "<|im_start|>assistant\n" : out;
}

std::string ChatTemplate::render_llama3(std::span<const Message> messages, bool add_generation_prompt) const {
  std::string out = bos_;
  const auto header = [](const std::string& role) { return "<|start_header_id|>" + role + "<|end_header_id|>\n\n"; };
  const bool has_system = !messages.empty() && messages[0].role == "system";
  if (!preamble_.empty()) {
    out += header("system") + preamble_ + (has_system ? trimmed(messages[0].content) : "") + "<|eot_id|>";
    if (has_system) messages = messages.subspan(1);
  }
  for (const Message& m : messages) out += header(m.role) + trimmed(m.content) + "<|eot_id|>";
  return add_generation_prompt ? out + header("assistant") : out;
}

std::string ChatTemplate::end_of_turn() const { return name_ == kChatMl ? "<|im_end|>" : "<|eot_id|>"; }

std::vector<std::int32_t> stop_tokens(const Files& files, const Tokenizer& tokenizer) {
  std::set<std::int32_t> stops;
  const auto add = [&](const Value& id) {
    if (id.is_integer() && id.as_int() >= 0 && id.as_int() < tokenizer.size())
      stops.insert(static_cast<std::int32_t>(id.as_int()));
  };
  const Value generation = parse(files, "generation_config.json");
  if (const Value* eos = generation.find("eos_token_id")) {
    if (eos->is_list()) std::ranges::for_each(eos->items(), add);
    else add(*eos);
  }
  if (tokenizer.eos()) stops.insert(*tokenizer.eos());
  for (const char* end : {"<|im_end|>", "<|eot_id|>", "<|eom_id|>"})
    if (const auto id = tokenizer.id_of(end); id && tokenizer.is_special(*id)) stops.insert(*id);
  return {stops.begin(), stops.end()};
}

}  // namespace d2c::tokenizer
