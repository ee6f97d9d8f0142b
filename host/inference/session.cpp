#include "host/inference/session.hpp"

#include "host/stop/stop.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace d2c::host {
namespace {

constexpr DType kIds[] = {DType::i32};
constexpr DType kReals[] = {DType::f16, DType::f32};

std::span<std::byte> writable(std::span<std::int32_t> values) { return std::as_writable_bytes(values); }

/// The states of all given functions, each once.
std::vector<Feature> states_of(const Model& model) {
  std::vector<Feature> all;
  for (const Signature& s : model.signatures())
    for (const Feature& f : s.states)
      if (std::none_of(all.begin(), all.end(), [&](const Feature& a) { return a.name == f.name; })) all.push_back(f);
  return all;
}

std::string suffix_of(const std::string& variant) { return variant.empty() ? "" : "_" + variant; }

}  // namespace

Session::Session(const Model& model, const std::string& variant)
    : model_(model),
      init_(language_function(model, "init" + suffix_of(variant))),
      decode_(language_function(model, "decode" + suffix_of(variant))),
      context_(context_of(model, suffix_of(variant))),
      vocab_(0),
      caches_(states_of(model)),
      state_(model.make_state()) {
  for (const auto& f : {init_, decode_}) {
    if (!f) continue;
    if (vocab_ != 0 && vocab_ != f->logits.shape.back())
      fail_input(model.path() + ": init gives logits " + init_->logits.text() + ", decode " + decode_->logits.text());
    vocab_ = f->logits.shape.back();
    output_.resize(std::max(output_.size(), static_cast<std::size_t>(f->logits.bytes())));
  }
}

std::optional<Session::Function> Session::language_function(const Model& model, const std::string& name) {
  const Signature* s = model.find(name);
  if (s == nullptr) return std::nullopt;
  const std::string where = model.path() + ": function '" + name + "'";
  Function f;
  f.name = name;
  f.chunk = require_feature(s->inputs, "input_ids", kIds, 2, where).type.shape.back();
  (void)require_feature(s->inputs, "position", kIds, 1, where);
  f.has_length = s->inputs.size() > 2;
  if (f.has_length) (void)require_feature(s->inputs, "length", kIds, 1, where);
  f.logits = require_feature(s->outputs, "logits", kReals, 2, where).type;
  if (f.rows() != 1 && !f.gives_all_logits())
    fail_input(where + " gives logits " + f.logits.text() + " for " + std::to_string(f.chunk) + " tokens");
  if (!f.has_length && !f.gives_all_logits())
    fail_input(where + " takes " + std::to_string(f.chunk) + " tokens at once and has no 'length'");
  return f;
}

std::int64_t Session::context_of(const Model& model, const std::string& suffix) {
  if (model.find("init" + suffix) == nullptr) (void)model.function("decode" + suffix);
  for (const Signature& s : model.signatures())
    for (const Feature& state : s.states) {
      const std::string where = model.path() + ": function '" + s.function + "'";
      (void)require_feature(s.states, state.name, kReals, 4, where);
      return state.type.shape[2];
    }
  fail_input(model.path() + ": no function has a state, so there is no KV cache to generate with");
}

void Session::check(std::span<const std::int32_t> tokens) const {
  if (tokens.empty()) fail_input("there is no token to feed; give at least one");
  for (const std::int32_t token : tokens)
    if (token < 0 || token >= vocab_)
      fail_input("token " + std::to_string(token) + " is outside the vocabulary of " + std::to_string(vocab_) +
                 " tokens; is this the model's own tokenizer?");
  if (static_cast<std::int64_t>(tokens.size()) > remaining())
    fail_input(std::to_string(position_) + " tokens and " + std::to_string(tokens.size()) +
               " more do not fit into the package's context of " + std::to_string(context_) +
               "; shorten the text, or convert with a larger graph.context");
}

const Session::Function& Session::next_function(std::size_t left) const {
  const bool fits = init_ && init_->chunk <= remaining();
  if (decode_ && (left == 1 || !fits)) return *decode_;
  if (fits) return *init_;
  fail_input(model_.path() + ": the package has no function 'decode', and 'init' takes chunks of " +
             std::to_string(init_->chunk) + ", which end at token " + std::to_string(context_) +
             "; convert it again with 'decode' in graph.functions");
}

std::span<const float> Session::feed(std::span<const std::int32_t> tokens) {
  check(tokens);
  while (true) {
    stop::throw_if_requested();
    const Function& f = next_function(tokens.size());
    const auto count = std::min(tokens.size(), static_cast<std::size_t>(f.chunk));
    run(f, tokens.first(count));
    tokens = tokens.subspan(count);
    if (tokens.empty()) return row(f, f.gives_all_logits() ? count - 1 : 0);
  }
}

void Session::feed_each(std::span<const std::int32_t> tokens, const OnLogits& on_logits) {
  check(tokens);
  while (!tokens.empty()) {
    stop::throw_if_requested();
    const Function& chosen = next_function(tokens.size());
    const Function& f = chosen.gives_all_logits() || !decode_ ? chosen : *decode_;
    // An `init` that gives the last row only has to be called once for each token where there is no `decode`.
    const auto most = static_cast<std::size_t>(f.gives_all_logits() ? f.chunk : 1);
    const auto count = std::min(tokens.size(), most);
    run(f, tokens.first(count));
    for (std::size_t i = 0; i < count; ++i) on_logits(row(f, i));
    tokens = tokens.subspan(count);
  }
}

std::span<const float> Session::row(const Function& f, std::size_t index) {
  const std::size_t bytes = static_cast<std::size_t>(f.logits.bytes() / f.rows());
  return widen(f.logits.dtype, std::span(output_).subspan(index * bytes, bytes), logits_);
}

void Session::run(const Function& f, std::span<const std::int32_t> tokens) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(f.chunk), 0);
  std::copy(tokens.begin(), tokens.end(), ids.begin());
  std::array position{static_cast<std::int32_t>(position_)}, length{static_cast<std::int32_t>(tokens.size())};
  const Buffer inputs[] = {
      {"input_ids", writable(ids)}, {"position", writable(position)}, {"length", writable(length)}};
  const Buffer outputs[] = {{"logits", std::span(output_).first(static_cast<std::size_t>(f.logits.bytes()))}};
  model_.call(f.name, &state_, std::span(inputs).first(f.has_length ? 3 : 2), outputs);
  position_ += length[0];
}

void Session::rewind(std::int64_t position) {
  if (position < 0 || position > position_)
    fail_usage("cannot go back to token " + std::to_string(position) + " of " + std::to_string(position_));
  position_ = position;
}

KvUsage Session::kv_usage() const {
  std::vector<CacheView> views;
  for (const Feature& f : caches_) views.push_back({f.type, state_.bytes(f.name)});
  return measure_kv(views, position_);
}

}  // namespace d2c::host
