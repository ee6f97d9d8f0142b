#include "host/verify/verification.hpp"

#include "host/inference/percentile.hpp"
#include "host/inference/session.hpp"
#include "host/log/log.hpp"
#include "host/verify/embedding_agreement.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace d2c::host {
namespace {

constexpr const char* kOwnWeights = "own weights";
constexpr const char* kSource = "source";
constexpr const char* kEmbeddings = "embeddings";

/// Relative to the largest logit of a row. What is left between a package and its own weights in fp32 is the order of
/// sums; an fp16 graph also rounds its cache and its logits, to eleven bits each.
constexpr double kLogitErrorFp32 = 1e-4, kLogitErrorFp16 = 5e-3;
/// Embeddings of the same weights differ by rounding alone.
constexpr double kOwnWeightsCosine = 0.9999;

constexpr std::int64_t kWindow = 1024;
/// Tokens that are scored before their logits are let go.
constexpr std::size_t kChunk = 64;

double largest(std::span<const float> values) {
  double most = 0;
  for (const float v : values) most = std::max(most, static_cast<double>(std::abs(v)));
  return most;
}

/// Largest difference relative to the reference's largest logit.
double logit_error(std::span<const float> reference, std::span<const float> logits) {
  double difference = 0;
  for (std::size_t i = 0; i < reference.size(); ++i)
    difference = std::max(difference, std::abs(static_cast<double>(reference[i]) - static_cast<double>(logits[i])));
  return difference == 0 ? 0 : difference / largest(reference);
}

/// Whether the reference makes no difference between two tokens that is larger than what logits may be off.
bool near_tie(std::span<const float> reference, std::int32_t a, std::int32_t b, double tolerance) {
  const double difference = static_cast<double>(reference[static_cast<std::size_t>(a)]) -
                            static_cast<double>(reference[static_cast<std::size_t>(b)]);
  return std::abs(difference) <= 2 * tolerance * largest(reference);
}

/// The values of a key, each once, in their order.
Value distinct(const Value& entries, const char* key) {
  Value values = Value::list();
  for (const Value& entry : entries.items())
    if (std::find(values.items().begin(), values.items().end(), entry.at(key)) == values.items().end())
      values.push_back(entry.at(key));
  return values;
}

Value ids(std::span<const std::int32_t> tokens) { return Value::List(tokens.begin(), tokens.end()); }

/// No number where one of the values is none.
double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end(),
                           [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; });
}

}  // namespace

Verification::Verification(const Model& model, VerifySettings settings, Spell spell)
    : model_(model), settings_(std::move(settings)), spell_(std::move(spell)) {}

void Verification::compare(const Reference& reference) {
  const bool own = reference.weights == ReferenceWeights::package;
  Value v = Value::table();
  v.set("comparison", own ? kOwnWeights : kSource);
  v.set("reference", reference.name);
  v.set("prompts", reference.prompts.size());
  v.set("sentences", reference.sentences.size());
  references_.push_back(std::move(v));
  if (!reference.prompts.empty()) compare_prompts(reference, own ? kOwnWeights : kSource);
  if (!reference.sentences.empty()) compare_sentences(reference);
}

void Verification::compare_prompts(const Reference& reference, const std::string& comparison) {
  const bool own = reference.weights == ReferenceWeights::package;
  Session session(model_);
  Divergence divergence;
  double error = 0;
  std::int64_t differing = 0;
  for (const ReferencePrompt& r : reference.prompts) {
    const Transcript t =
        follow(session, r.prompt.tokens, r.answer, [&](std::size_t row, std::span<const float> logits) {
          divergence.add(r.logits(row), logits);
          error = std::max(error, logit_error(r.logits(row), logits));
        });
    const bool same = t.common == r.answer.size();
    const bool excused =
        !same && own && near_tie(r.logits(t.common), r.answer[t.common], t.tokens[t.common], max_logit_error());
    differing += same || excused ? 0 : 1;
    add_transcript(comparison, r, t, same || excused);
  }
  if (own) check_own_weights(comparison, error, differing);
  else check_divergence(divergence, "prompts");
}

void Verification::check_own_weights(const std::string& comparison, double error, std::int64_t differing) {
  checks_.push_back({comparison, "transcripts that differ", static_cast<double>(differing), 0, Bound::at_most});
  checks_.push_back({comparison, "logit error", error, max_logit_error(), Bound::at_most});
}

void Verification::check_divergence(const Divergence& d, const std::string& over) {
  checks_.push_back({kSource, "mean KL, " + over, d.mean_kl(), settings_.max_divergence, Bound::at_most});
  checks_.push_back({kSource, "top-1 agreement, " + over, d.agreement(), settings_.min_agreement, Bound::at_least});
  Value v = Value::table();
  v.set("over", over);
  v.set("positions", d.positions());
  v.set("mean_kl", d.mean_kl());
  v.set("max_kl", d.max_kl());
  v.set("top1_agreement", d.agreement());
  if (d.predicted() > 0) {
    const double ratio = d.perplexity() / d.reference_perplexity();
    checks_.push_back({kSource, "perplexity ratio, " + over, ratio, settings_.max_perplexity_ratio, Bound::at_most});
    v.set("perplexity", d.perplexity());
    v.set("reference_perplexity", d.reference_perplexity());
  }
  divergences_.push_back(std::move(v));
}

void Verification::compare_sentences(const Reference& reference) {
  const bool own = reference.weights == ReferenceWeights::package;
  const Embedder embedder(model_);
  std::vector<float> theirs, ours;
  for (const ReferenceSentence& s : reference.sentences) {
    if (s.embedding.size() != static_cast<std::size_t>(embedder.width()))
      fail_input("the reference has embeddings of " + std::to_string(s.embedding.size()) + " numbers, the package of " +
                 std::to_string(embedder.width()) + "; is it a reference of this model?");
    theirs.insert(theirs.end(), s.embedding.begin(), s.embedding.end());
    const std::vector<float> embedding = embedder.embed({&s.sentence.input, 1});
    ours.insert(ours.end(), embedding.begin(), embedding.end());
  }
  const auto width = static_cast<std::size_t>(embedder.width());
  const EmbeddingAgreement agreement = host::compare({theirs, width}, {ours, width});
  const std::string comparison = own ? kOwnWeights : kEmbeddings;
  const double threshold = own ? kOwnWeightsCosine : settings_.min_cosine;
  for (std::size_t i = 0; i < reference.sentences.size(); ++i) {
    Value v = Value::table();
    v.set("comparison", comparison);
    v.set("sentence", label(reference.sentences[i].sentence.text, reference.sentences[i].sentence.input.ids));
    v.set("cosine", agreement.cosines[i]);
    if (!agreement.centred_cosines.empty()) v.set("centred_cosine", agreement.centred_cosines[i]);
    v.set("pass", agreement.cosines[i] >= threshold);
    sentences_.push_back(std::move(v));
  }
  checks_.push_back({comparison, "least cosine", least(agreement.cosines), threshold, Bound::at_least});
  if (own) return;
  if (!agreement.centred_cosines.empty())
    checks_.push_back({comparison, "least centred cosine", least(agreement.centred_cosines),
                       settings_.min_centred_cosine, Bound::at_least});
  if (agreement.rank_correlation)
    checks_.push_back({comparison, "rank correlation of similarities", *agreement.rank_correlation,
                       settings_.min_rank_correlation, Bound::at_least});
}

void Verification::compare_on_text(const Model& source, std::span<const std::int32_t> tokens, const std::string& name) {
  if (tokens.size() < 2) fail_input(name + ": there are no two tokens to predict one from the other");
  Session reference(source), package(model_);
  const std::int64_t window = std::min({kWindow, reference.context(), package.context()});
  const auto vocab = static_cast<std::size_t>(reference.vocab());
  Divergence divergence;
  std::vector<float> rows;
  for (std::size_t at = 0; at < tokens.size();) {
    if (reference.remaining() == 0 || reference.position() == window) {
      reference.rewind(0);
      package.rewind(0);
    }
    const auto left = static_cast<std::size_t>(window - reference.position());
    const auto chunk = tokens.subspan(at, std::min({kChunk, left, tokens.size() - at}));
    rows.clear();
    reference.feed_each(chunk,
                        [&](std::span<const float> logits) { rows.insert(rows.end(), logits.begin(), logits.end()); });
    std::size_t row = 0;
    package.feed_each(chunk, [&](std::span<const float> logits) {
      const std::size_t next = at + row + 1;
      divergence.add(std::span(rows).subspan(row * vocab, vocab), logits,
                     next < tokens.size() ? std::optional(tokens[next]) : std::nullopt);
      ++row;
    });
    at += chunk.size();
    if (reference.position() == window)
      log::info(name + ": " + std::to_string(at) + " of " + std::to_string(tokens.size()) + " tokens, perplexity " +
                std::to_string(divergence.perplexity()) + ", of the source " +
                std::to_string(divergence.reference_perplexity()));
  }
  check_divergence(divergence, "text");
  divergences_.items().back().set("text", name);
  divergences_.items().back().set("window", window);
}

void Verification::add_transcript(const std::string& comparison, const ReferencePrompt& reference, const Transcript& t,
                                  bool matches) {
  const auto side = [&](std::span<const std::int32_t> tokens) {
    Value v = Value::table();
    v.set("tokens", ids(tokens));
    v.set("text", spell_(tokens));
    return v;
  };
  Value ours = side(t.tokens);
  ours.set("init_ms", t.init_ms);
  ours.set("decode_ms", Value::List(t.decode_ms.begin(), t.decode_ms.end()));
  ours.set("residency",
           static_cast<double>(t.kv.occupied) / static_cast<double>(std::max<std::int64_t>(t.kv.context, 1)));
  ours.set("evicted", 0);
  Value v = Value::table();
  v.set("comparison", comparison);
  v.set("prompt", label(reference.prompt.text, reference.prompt.tokens));
  v.set("max_new_tokens", reference.answer.size());
  v.set("reference", side(reference.answer));
  v.set("coreml", std::move(ours));
  v.set("common_tokens", t.common);
  v.set("match", matches);
  transcripts_.push_back(std::move(v));
  decode_ms_.insert(decode_ms_.end(), t.decode_ms.begin(), t.decode_ms.end());
  kv_.push_back(t.kv);
}

std::string Verification::label(const std::string& text, std::span<const std::int32_t> tokens) const {
  if (!text.empty()) return text;
  std::string label = spell_(tokens);
  if (!label.empty()) return label;
  for (const std::int32_t token : tokens) label += (label.empty() ? "tokens " : ",") + std::to_string(token);
  return label;
}

double Verification::max_logit_error() const {
  const bool fp32 = model_.facts() && model_.facts()->precision == "fp32";
  return settings_.max_logit_error.value_or(fp32 ? kLogitErrorFp32 : kLogitErrorFp16);
}

bool Verification::passed() const {
  return !checks_.empty() && std::all_of(checks_.begin(), checks_.end(), [](const Check& c) { return c.passed(); });
}

bool Verification::keeps_embeddings() const {
  return std::all_of(checks_.begin(), checks_.end(),
                     [](const Check& c) { return c.comparison != kEmbeddings || c.passed(); });
}

bool Verification::transcripts_passed() const {
  const auto& all = transcripts_.items();
  return !all.empty() && std::all_of(all.begin(), all.end(), [](const Value& t) { return t.bool_or("match", false); });
}

Value Verification::embedding() const {
  std::vector<double> cosines;
  for (const Value& s : sentences_.items()) cosines.push_back(s.at("cosine").as_real());
  Value v = Value::table();
  v.set("threshold", settings_.min_cosine);
  if (!cosines.empty()) v.set("minimum_cosine", least(cosines));
  v.set("cases", sentences_);
  return v;
}

Value Verification::decode_latency() const {
  Value v = Value::table();
  v.set("p50_ms", percentile(decode_ms_, 50));
  v.set("p90_ms", percentile(decode_ms_, 90));
  v.set("p99_ms", percentile(decode_ms_, 99));
  v.set("samples", decode_ms_.size());
  return v;
}

Value Verification::kv_cache() const {
  std::vector<double> percent;
  for (const KvUsage& kv : kv_)
    percent.push_back(100 * static_cast<double>(kv.occupied) /
                      static_cast<double>(std::max<std::int64_t>(kv.context, 1)));
  double sum = 0;
  for (const double p : percent) sum += p;
  Value v = Value::table();
  v.set("avg_residency_pct", percent.empty() ? 0 : sum / static_cast<double>(percent.size()));
  v.set("min_residency_pct", percentile(percent, 0));
  v.set("max_residency_pct", percentile(percent, 100));
  v.set("evicted_tokens", 0);
  return v;
}

Value Verification::report() const {
  Value checks = Value::list();
  for (const Check& c : checks_) {
    Value v = Value::table();
    v.set("comparison", c.comparison);
    v.set("name", c.name);
    v.set("value", c.value);
    v.set(c.bound == Bound::at_most ? "at_most" : "at_least", c.limit);
    v.set("pass", c.passed());
    checks.push_back(std::move(v));
  }
  Value v = Value::table();
  v.set("references", references_);
  v.set("golden_prompts", distinct(transcripts_, "prompt"));
  v.set("embedding_sentences", distinct(sentences_, "sentence"));
  v.set("transcripts", transcripts_);
  v.set("divergence", divergences_);
  v.set("embedding", embedding());
  v.set("decode_latency", decode_latency());
  v.set("kv_cache", kv_cache());
  v.set("checks", std::move(checks));
  v.set("transcripts_passed", transcripts_passed());
  v.set("validation_passed", passed());
  return v;
}

}  // namespace d2c::host
