// One conversation with a language model: tokens in, logits out, a KV cache in between.
#pragma once

#include "host/inference/kv_usage.hpp"
#include "host/inference/model.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

/// Not thread-safe; several sessions of one model may run at once. The model outlives it.
///
///     Session session(model);
///     auto logits = session.feed(prompt);
///     logits = session.feed(std::array{argmax(logits)});
class Session {
 public:
  /// `variant`: the adapters to talk with, by the name that `init_NAME` and `decode_NAME` have; empty: `init` and
  /// `decode`. Error(input) where the package has neither of the two, or not as this program writes them.
  explicit Session(const Model& model, const std::string& variant = {});

  /// Logits after the last token, valid until the next call. Chunks go through `init` where they fit into the context,
  /// single tokens and a tail that does not fit through `decode`. Error(input) for an empty list, a token outside the
  /// vocabulary, or more tokens than `remaining()`; nothing is fed then. Error(interrupted) between two calls once a
  /// stop is requested; what was fed before stays.
  std::span<const float> feed(std::span<const std::int32_t> tokens);

  using OnLogits = std::function<void(std::span<const float>)>;
  /// Feeds the tokens and calls `on_logits` after each, in order, with what follows it. As fast as `feed` where `init`
  /// gives logits for every token, else one token at a time. Errors as of `feed`.
  void feed_each(std::span<const std::int32_t> tokens, const OnLogits& on_logits);

  /// Tokens in the cache.
  [[nodiscard]] std::int64_t position() const noexcept { return position_; }
  [[nodiscard]] std::int64_t context() const noexcept { return context_; }
  [[nodiscard]] std::int64_t remaining() const noexcept { return context_ - position_; }
  [[nodiscard]] std::int64_t vocab() const noexcept { return vocab_; }
  /// Forgets the tokens from `position` on. Error(usage) unless 0 <= position <= position().
  void rewind(std::int64_t position);

  /// Reads the runner's state buffers whole.
  [[nodiscard]] KvUsage kv_usage() const;

 private:
  struct Function {
    std::string name;
    std::int64_t chunk = 0;
    bool has_length = false;
    TensorType logits;  ///< [1, vocabulary] of the last valid token, or [chunk, vocabulary]

    [[nodiscard]] std::int64_t rows() const { return logits.shape.front(); }
    [[nodiscard]] bool gives_all_logits() const { return rows() == chunk; }
  };
  [[nodiscard]] static std::optional<Function> language_function(const Model& model, const std::string& name);
  [[nodiscard]] static std::int64_t context_of(const Model& model, const std::string& suffix);
  [[nodiscard]] const Function& next_function(std::size_t left) const;
  void check(std::span<const std::int32_t> tokens) const;
  void run(const Function& function, std::span<const std::int32_t> tokens);
  /// Of the last call.
  [[nodiscard]] std::span<const float> row(const Function& function, std::size_t index);

  const Model& model_;
  std::optional<Function> init_, decode_;
  std::int64_t context_, vocab_;
  std::vector<Feature> caches_;
  ModelState state_;
  std::int64_t position_ = 0;
  std::vector<std::byte> output_;
  std::vector<float> logits_;
};

}  // namespace d2c::host
