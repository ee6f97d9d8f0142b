#include "host/inference/chat.hpp"

#include <algorithm>
#include <utility>

namespace d2c::host {
namespace {

/// Room that a shift makes for the reply, as a share of the context: less would shift again soon.
constexpr std::int64_t kReplyShare = 4;

std::size_t common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  const auto [end, _] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(end - a.begin());
}

}  // namespace

const char* name_of(Finish finish) noexcept {
  switch (finish) {
    case Finish::stop_token: return "stop";
    case Finish::length: return "length";
    case Finish::context: return "context";
    case Finish::interrupted: return "interrupted";
  }
  return "";
}

Chat::Chat(Session& session, const ChatText& text, ChatOptions options)
    : session_(session), text_(text), options_(std::move(options)), sampler_(options_.sampling) {
  reset();
}

void Chat::reset() {
  messages_.clear();
  if (!options_.system.empty()) messages_.push_back({"system", options_.system});
}

Reply Chat::reply(const std::string& user, const OnToken& on_token) {
  const std::vector<Message> before = messages_;
  messages_.push_back({"user", user});
  Reply reply;
  try {
    generate(reply, on_token);
  } catch (const Error& e) {
    if (e.code() != Code::interrupted) {
      messages_ = before;
      throw;
    }
    reply.finish = Finish::interrupted;
  }
  reply.text = text_.text(reply.tokens);
  if (reply.tokens.empty() && reply.finish == Finish::interrupted) messages_.pop_back();
  else messages_.push_back({"assistant", reply.text});
  return reply;
}

void Chat::generate(Reply& reply, const OnToken& on_token) {
  std::span<const float> logits = read_prompt(reply);
  if (logits.empty()) refuse();
  const auto most = static_cast<std::size_t>(options_.max_new_tokens);
  while (reply.tokens.size() < most) {
    const std::int32_t token = sampler_.pick(logits, fed_);
    if (options_.stop_tokens.contains(token)) return;
    reply.tokens.push_back(token);
    on_token(token);
    logits = session_.remaining() > 0 ? feed({&token, 1}) : read_prompt(reply);
    if (logits.empty()) {
      reply.finish = Finish::context;
      return;
    }
  }
  reply.finish = Finish::length;
}

std::span<const float> Chat::read_prompt(Reply& reply) {
  const std::vector<std::int32_t> prompt = fitted_prompt(reply);
  if (prompt.empty()) return {};
  // The last token is always fed: its logits are wanted.
  const std::size_t reused = std::min(common_prefix(prompt, fed_), prompt.size() - 1);
  if (reply.tokens.empty()) {
    reply.prompt_tokens = static_cast<std::int64_t>(prompt.size());
    reply.reused_tokens = static_cast<std::int64_t>(reused);
  }
  session_.rewind(static_cast<std::int64_t>(reused));
  fed_.resize(reused);
  return feed(std::span(prompt).subspan(reused));
}

std::span<const float> Chat::feed(std::span<const std::int32_t> tokens) {
  const auto remember = [&] {
    const auto count = static_cast<std::size_t>(session_.position()) - fed_.size();
    fed_.insert(fed_.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(count));
  };
  try {
    const auto logits = session_.feed(tokens);
    remember();
    return logits;
  } catch (...) {
    remember();  // an interrupted feed has fed its first chunks
    throw;
  }
}

std::vector<std::int32_t> Chat::prompt_of(const Reply& reply) const {
  std::vector<std::int32_t> prompt = text_.prompt(messages_);
  prompt.insert(prompt.end(), reply.tokens.begin(), reply.tokens.end());
  if (prompt.empty()) fail_input("the conversation has no tokens; say something");
  return prompt;
}

bool Chat::fits(std::span<const std::int32_t> prompt, std::int64_t reserve) const {
  return static_cast<std::int64_t>(prompt.size()) + reserve <= session_.context();
}

std::vector<std::int32_t> Chat::fitted_prompt(Reply& reply) {
  std::vector<std::int32_t> prompt = prompt_of(reply);
  const std::size_t whole = prompt.size();
  const std::int64_t left = options_.max_new_tokens - static_cast<std::int64_t>(reply.tokens.size());
  const std::int64_t reserve = std::min(left, session_.context() / kReplyShare);
  if (options_.overflow == Overflow::shift)
    while (!fits(prompt, reserve) && forget_oldest_turn()) prompt = prompt_of(reply);
  if (!fits(prompt, 0)) return {};
  reply.evicted_tokens += static_cast<std::int64_t>(whole - prompt.size());
  evicted_ += static_cast<std::int64_t>(whole - prompt.size());
  return prompt;
}

void Chat::refuse() const {
  fail_input("the conversation takes " + std::to_string(prompt_of({}).size()) +
             " tokens, and the package's context holds " + std::to_string(session_.context()) +
             (options_.overflow == Overflow::error ? "; start afresh, or let old turns go with --overflow shift"
                                                   : "; shorten the message or the system prompt"));
}

bool Chat::forget_oldest_turn() {
  const auto first = messages_.begin() + (!options_.system.empty() ? 1 : 0);
  if (messages_.end() - first < 3) return false;  // what is being answered stays
  messages_.erase(first, first + 2);
  return true;
}

}  // namespace d2c::host
