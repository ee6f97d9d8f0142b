// Holds a package against references, check by check.
#pragma once

#include "host/inference/model.hpp"
#include "host/verify/divergence.hpp"
#include "host/verify/reference.hpp"
#include "host/verify/settings.hpp"
#include "host/verify/transcript.hpp"

#include <d2c/value.hpp>

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

/// Text of tokens, for reports; empty where there is no tokenizer.
using Spell = std::function<std::string(std::span<const std::int32_t>)>;

/// One at a time. The model outlives it.
class Verification {
 public:
  Verification(const Model& model, VerifySettings settings, Spell spell);

  /// Prompts and sentences. A reference that holds neither adds no check.
  void compare(const Reference& reference);

  /// Both models along a text, cut into windows that each begin anew. Error(input) for fewer than two tokens.
  void compare_on_text(const Model& source, std::span<const std::int32_t> tokens, const std::string& name);

  /// Whether every check passed, and there was one.
  [[nodiscard]] bool passed() const;

  /// Whether every check of embeddings passed.
  [[nodiscard]] bool keeps_embeddings() const;

  /// "references", "golden_prompts", "embedding_sentences", "transcripts", "divergence", "embedding", "decode_latency", "kv_cache", "checks", "transcripts_passed",
  /// "validation_passed" (docs/reports.md).
  [[nodiscard]] Value report() const;

 private:
  enum class Bound { at_most, at_least };
  struct Check {
    std::string comparison, name;
    double value, limit;
    Bound bound;

    [[nodiscard]] bool passed() const { return bound == Bound::at_most ? value <= limit : value >= limit; }
  };

  void compare_prompts(const Reference& reference, const std::string& comparison);
  void compare_sentences(const Reference& reference);
  void check_own_weights(const std::string& comparison, double logit_error, std::int64_t differing);
  void check_divergence(const Divergence& divergence, const std::string& over);
  void add_transcript(const std::string& comparison, const ReferencePrompt& reference, const Transcript& transcript,
                      bool matches);
  /// The text, or the tokens where there is none.
  [[nodiscard]] std::string label(const std::string& text, std::span<const std::int32_t> tokens) const;
  [[nodiscard]] double max_logit_error() const;
  [[nodiscard]] bool transcripts_passed() const;
  [[nodiscard]] Value embedding() const;
  [[nodiscard]] Value decode_latency() const;
  [[nodiscard]] Value kv_cache() const;

  const Model& model_;
  VerifySettings settings_;
  Spell spell_;
  std::vector<Check> checks_;
  Value references_ = Value::list(), transcripts_ = Value::list(), divergences_ = Value::list(),
        sentences_ = Value::list();
  std::vector<double> decode_ms_;
  std::vector<KvUsage> kv_;
};

}  // namespace d2c::host
