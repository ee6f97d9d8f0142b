#include "host/cli/chat.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/line_input.hpp"
#include "host/cli/output.hpp"
#include "host/inference/text.hpp"
#include "host/log/log.hpp"
#include "host/stop/stop.hpp"
#include "libs/json/json.hpp"

#include <chrono>
#include <csignal>

namespace d2c::host::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Prints replies as they come, or each as a line of JSON once it is complete.
class Conversation {
 public:
  Conversation(Session& session, const Text& text, const ChatOptions& options, bool json)
      : text_(text), chat_(session, text, options), json_(json) {}

  void say(const std::string& message) {
    Text::Stream stream(text_);
    const auto start = Clock::now();
    auto first = start;
    const Reply reply = chat_.reply(message, [&](std::int32_t token) {
      if (first == start) first = Clock::now();
      if (!json_) print(stream.push(token));
    });
    const double seconds = seconds_between(first, Clock::now());
    const double speed =
        seconds > 0 ? static_cast<double>(reply.tokens.size() - (reply.tokens.empty() ? 0 : 1)) / seconds : 0;
    if (json_) print(json::dump(report(reply, seconds_between(start, first), speed)) + "\n");
    else print(stream.finish() + "\n");
    tell(reply);
  }

  void reset() { chat_.reset(); }

 private:
  Value report(const Reply& reply, double first_token_seconds, double speed) const {
    Value v = Value::table();
    v.set("reply", reply.text);
    v.set("tokens", Value::List(reply.tokens.begin(), reply.tokens.end()));
    v.set("finish", name_of(reply.finish));
    v.set("prompt_tokens", reply.prompt_tokens);
    v.set("reused_tokens", reply.reused_tokens);
    v.set("evicted_tokens", reply.evicted_tokens);
    v.set("first_token_ms", first_token_seconds * 1e3);
    v.set("tokens_per_second", speed);
    return v;
  }

  void tell(const Reply& reply) const {
    log::debug(std::to_string(reply.reused_tokens) + " of " + std::to_string(reply.prompt_tokens) +
               " prompt tokens were in the cache");
    if (reply.evicted_tokens > 0)
      log::info("the context is full: the oldest turns, " + std::to_string(reply.evicted_tokens) +
                " tokens, are forgotten");
    if (reply.finish == Finish::length)
      log::info("the reply ends after " + std::to_string(reply.tokens.size()) +
                " tokens; --max-new-tokens allows longer ones");
    if (reply.finish == Finish::context)
      log::warn("the context is full, so the reply is cut; /reset starts afresh, --overflow shift forgets old turns");
  }

  const Text& text_;
  Chat chat_;
  bool json_;
};

/// True where only the reply was to stop.
bool was_ctrl_c() { return stop::signal_number() == SIGINT; }

void say_to_a_person(Conversation& conversation, const std::string& line) {
  try {
    conversation.say(line);
  } catch (const Error& e) {
    if (e.code() != Code::input) throw;
    log::error(e.what());
  }
  if (was_ctrl_c()) stop::acknowledge();
  stop::throw_if_requested();
}

void talk(Conversation& conversation) {
  LineInput input("> ");
  while (const auto line = input.next()) {
    if (*line == "/exit") return;
    if (*line == "/reset") conversation.reset();
    else if (line->find_first_not_of(" \t") == std::string::npos) continue;
    else if (input.interactive()) say_to_a_person(conversation, *line);
    else {
      conversation.say(*line);
      stop::throw_if_requested();
    }
  }
  if (input.interactive()) print("\n");
}

void answer_once(Conversation& conversation) {
  std::string message = read_stdin();
  while (message.ends_with('\n') || message.ends_with('\r')) message.pop_back();
  if (message.empty()) fail_input("stdin is empty; --once answers the message that stands there");
  conversation.say(message);
  stop::throw_if_requested();
}

}  // namespace

std::string chat(const Arguments& a) {
  const ChatCommandOptions& o = a.chat;
  PluginRegistry plugins(a.plugin_dirs, {});
  const Model model(plugins, a.subject, o.runner);
  const Text text(plugins, o.tokenizer.empty() ? a.subject : o.tokenizer, o.chat_template);
  Session session(model, o.variant);
  ChatOptions options = o.chat;
  options.stop_tokens = text.stop_tokens();
  Conversation conversation(session, text, options, a.json);
  if (o.once) answer_once(conversation);
  else talk(conversation);
  return {};
}

}  // namespace d2c::host::cli
