#include "host/cli/generate.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/line_input.hpp"
#include "host/cli/output.hpp"
#include "host/executor/stopwatch.hpp"
#include "host/inference/session.hpp"
#include "host/inference/text.hpp"
#include "host/log/log.hpp"
#include "libs/safetensors/writer.hpp"

#include <algorithm>
#include <memory>
#include <set>

namespace d2c::host::cli {
namespace {

constexpr std::int64_t kDefaultNewTokens = 128;

struct Generation {
  std::vector<std::int32_t> prompt;
  std::vector<std::int32_t> tokens;     ///< generated, or forced
  std::vector<std::int32_t> predicted;  ///< what would have been chosen in place of each forced token
  Finish finish = Finish::length;
  double prefill_seconds = 0, decode_seconds = 0;
  std::int64_t decoded = 0;  ///< tokens fed after the prompt
  std::vector<float> prefill_logits, decode_logits;
};

/// One run of the command.
class Generator {
 public:
  Generator(const Model& model, const GenerateOptions& options, std::set<std::int32_t> stop_tokens)
      : session_(model, options.variant),
        options_(options),
        stop_tokens_(std::move(stop_tokens)),
        sampler_(options.sampling) {}

  Generation run(std::vector<std::int32_t> prompt, const std::function<void(std::int32_t)>& on_token) {
    done_.prompt = std::move(prompt);
    const std::size_t count = forced() ? options_.teacher_force.size() : new_tokens();
    check_room(count);
    feed(done_.prompt, done_.prefill_seconds);
    keep(done_.prefill_logits);
    while (done_.tokens.size() < count && step(count, on_token)) {
    }
    return std::move(done_);
  }

 private:
  [[nodiscard]] bool keeps_logits() const { return !options_.logits_out.empty(); }
  [[nodiscard]] bool forced() const { return !options_.teacher_force.empty(); }
  /// What follows the last token is wanted only if all logits are kept; forced tokens are all checked by being fed.
  [[nodiscard]] bool feeds_last() const { return keeps_logits() || forced(); }

  [[nodiscard]] std::int64_t room() const {
    return session_.context() - static_cast<std::int64_t>(done_.prompt.size()) + (feeds_last() ? 0 : 1);
  }

  [[nodiscard]] std::size_t new_tokens() const {
    const std::int64_t wanted = options_.max_new_tokens.value_or(std::min(kDefaultNewTokens, room()));
    return static_cast<std::size_t>(std::max<std::int64_t>(wanted, 0));
  }

  void check_room(std::size_t count) const {
    if (static_cast<std::int64_t>(count) <= std::max<std::int64_t>(room(), 0)) return;
    fail_input(std::to_string(done_.prompt.size()) + " tokens of prompt and " + std::to_string(count) +
               " new ones do not fit into the package's context of " + std::to_string(session_.context()) +
               "; shorten the prompt, lower --max-new-tokens, or convert with a larger graph.context");
  }

  void feed(std::span<const std::int32_t> tokens, double& seconds) {
    const Stopwatch watch(seconds);
    logits_ = session_.feed(tokens);
  }

  bool step(std::size_t count, const std::function<void(std::int32_t)>& on_token) {
    std::int32_t token = sampler_.pick(logits_, history());
    if (forced()) {
      done_.predicted.push_back(token);
      token = options_.teacher_force[done_.tokens.size()];
    } else if (stop_tokens_.contains(token)) {
      done_.finish = Finish::stop_token;
      return false;
    }
    done_.tokens.push_back(token);
    on_token(token);
    if (done_.tokens.size() == count && !feeds_last()) return false;
    feed({&token, 1}, done_.decode_seconds);
    ++done_.decoded;
    keep(done_.decode_logits);
    return true;
  }

  [[nodiscard]] std::vector<std::int32_t> history() const {
    if (options_.sampling.repetition_penalty == 1) return {};
    std::vector<std::int32_t> all = done_.prompt;
    all.insert(all.end(), done_.tokens.begin(), done_.tokens.end());
    return all;
  }

  void keep(std::vector<float>& kept) const {
    if (keeps_logits()) kept.insert(kept.end(), logits_.begin(), logits_.end());
  }

  Session session_;
  const GenerateOptions& options_;
  std::set<std::int32_t> stop_tokens_;
  Sampler sampler_;
  Generation done_;
  std::span<const float> logits_;
};

void write_logits(const std::string& path, const Generation& g) {
  const auto vocab = static_cast<std::int64_t>(g.prefill_logits.size());
  const auto rows = static_cast<std::int64_t>(g.decode_logits.size()) / vocab;
  const safetensors::NamedTensor tensors[] = {
      {"prefill_logits", {DType::f32, {vocab}}, std::as_bytes(std::span(g.prefill_logits))},
      {"decode_logits", {DType::f32, {rows, vocab}}, std::as_bytes(std::span(g.decode_logits))}};
  safetensors::write_file(path, tensors);
}

Value ids(const std::vector<std::int32_t>& tokens) { return Value::List(tokens.begin(), tokens.end()); }

double per_second(std::int64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

Value report(const Generation& g, const GenerateOptions& options, const Text* text) {
  Value v = Value::table();
  v.set("tokens", ids(g.tokens));
  if (!g.predicted.empty()) v.set("predicted", ids(g.predicted));
  if (text != nullptr) v.set("text", text->text(g.tokens));
  v.set("finish", name_of(g.finish));
  v.set("prompt_tokens", g.prompt.size());
  v.set("prefill_ms", g.prefill_seconds * 1e3);
  v.set("tokens_per_second", per_second(g.decoded, g.decode_seconds));
  if (!options.logits_out.empty()) v.set("logits", options.logits_out);
  return v;
}

void tell_speed(const Generation& g) {
  char line[160];
  std::snprintf(line, sizeof line, "prompt of %zu tokens in %.0f ms, then %.1f tokens/s", g.prompt.size(),
                g.prefill_seconds * 1e3, per_second(g.decoded, g.decode_seconds));
  log::info(line);
}

std::set<std::int32_t> stop_tokens(const Model& model, const Text* text, const GenerateOptions& options) {
  if (!options.stop_at_eos.value_or(text != nullptr)) return {};
  if (text != nullptr) return text->stop_tokens();
  if (!model.facts())
    fail_input(model.path() + ": the package does not say what its stop tokens are; leave --stop-at-eos out");
  return {model.facts()->eos.begin(), model.facts()->eos.end()};
}

}  // namespace

std::string generate(const Arguments& a) {
  const GenerateOptions& o = a.generate;
  check_output_folder("--logits-out", o.logits_out);
  PluginRegistry plugins(a.plugin_dirs, {});
  const Model model(plugins, a.subject, o.runner);
  std::unique_ptr<Text> text;
  std::vector<std::int32_t> prompt = o.tokens;
  if (prompt.empty()) {
    text = std::make_unique<Text>(plugins, o.tokenizer.empty() ? a.subject : o.tokenizer);
    prompt = text->encode(o.prompt ? *o.prompt : read_stdin());
  }
  std::unique_ptr<Text::Stream> stream;
  if (text && !a.json) stream = std::make_unique<Text::Stream>(*text);
  const Generation g = Generator(model, o, stop_tokens(model, text.get(), o)).run(prompt, [&](std::int32_t token) {
    if (stream) print(stream->push(token));
  });
  if (!o.logits_out.empty()) write_logits(o.logits_out, g);
  tell_speed(g);
  return result(a.json, report(g, o, text.get()), stream ? stream->finish() + "\n" : token_list(g.tokens) + "\n");
}

}  // namespace d2c::host::cli
