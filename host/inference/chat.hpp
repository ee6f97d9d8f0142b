// A conversation in turns, on top of a session: prompts by template, the cached prefix reused, a full context handled.
#pragma once

#include "host/inference/sampler.hpp"
#include "host/inference/session.hpp"

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

struct Message {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// What a chat needs of a tokenizer and a template.
class ChatText {
 public:
  virtual ~ChatText() = default;
  /// The conversation up to where the assistant's next message begins.
  [[nodiscard]] virtual std::vector<std::int32_t> prompt(std::span<const Message> messages) const = 0;
  [[nodiscard]] virtual std::string text(std::span<const std::int32_t> tokens) const = 0;
};

enum class Overflow {
  error,  ///< a prompt that does not fit is refused; a reply ends where the context does
  shift,  ///< the oldest turns are forgotten, never the system prompt
};

struct ChatOptions {
  std::string system;  ///< empty: what the template says without one
  Overflow overflow = Overflow::error;
  std::int64_t max_new_tokens = 512;
  std::set<std::int32_t> stop_tokens;
  SamplingOptions sampling;
};

enum class Finish { stop_token, length, context, interrupted };
[[nodiscard]] const char* name_of(Finish finish) noexcept;

struct Reply {
  std::vector<std::int32_t> tokens;  ///< without the stop token
  std::string text;
  Finish finish = Finish::stop_token;
  std::int64_t prompt_tokens = 0;   ///< of the whole conversation
  std::int64_t reused_tokens = 0;   ///< of these, already in the cache
  std::int64_t evicted_tokens = 0;  ///< of forgotten turns
};

/// Not thread-safe. The session and the text outlive it; nobody else feeds the session.
class Chat {
 public:
  using OnToken = std::function<void(std::int32_t)>;

  Chat(Session& session, const ChatText& text, ChatOptions options);

  /// The assistant's answer, token by token through `on_token` first. Error(input) where the message does not fit; the
  /// conversation is then as if it had not been said. A requested stop ends the reply with Finish::interrupted.
  Reply reply(const std::string& user, const OnToken& on_token);

  /// Forgets every turn.
  void reset();

  [[nodiscard]] const std::vector<Message>& messages() const noexcept { return messages_; }
  [[nodiscard]] std::int64_t evicted_tokens() const noexcept { return evicted_; }

 private:
  void generate(Reply& reply, const OnToken& on_token);
  /// Feeds the conversation with the reply so far; no logits where it does not fit.
  std::span<const float> read_prompt(Reply& reply);
  std::span<const float> feed(std::span<const std::int32_t> tokens);
  [[nodiscard]] std::vector<std::int32_t> prompt_of(const Reply& reply) const;
  /// Empty where the prompt does not fit, whatever is forgotten.
  [[nodiscard]] std::vector<std::int32_t> fitted_prompt(Reply& reply);
  [[noreturn]] void refuse() const;
  [[nodiscard]] bool fits(std::span<const std::int32_t> prompt, std::int64_t reserve) const;
  bool forget_oldest_turn();

  Session& session_;
  const ChatText& text_;
  ChatOptions options_;
  Sampler sampler_;
  std::vector<Message> messages_;
  std::vector<std::int32_t> fed_;  ///< what the session's cache holds
  std::int64_t evicted_ = 0;
};

}  // namespace d2c::host
