#include "host/verify/settings.hpp"

#include "host/recipe/layers.hpp"

#include <d2c/error.hpp>

namespace d2c::host {
namespace {

/// Starts of texts that a language model of any kind can go on with, and sentences in pairs: alike, and not.
constexpr const char* kPrompts[] = {
    "The capital of France is",
    "To make a cup of tea, first boil the water. Then",
    "Dear editor, I am writing to you because",
};
constexpr const char* kSentences[] = {
    "A cat is sleeping on the sofa.",           "A kitten naps on the couch.",
    "The stock market fell sharply on Monday.", "Shares lost much of their value at the start of the week.",
    "Water boils at one hundred degrees.",      "The committee will publish its report next year.",
};

template <std::size_t Count>
std::vector<std::string> texts(const Value& list, const char* const (&built_in)[Count]) {
  std::vector<std::string> texts;
  for (const Value& text : list.items()) texts.push_back(text.as_text());
  if (texts.empty()) texts.assign(std::begin(built_in), std::end(built_in));
  return texts;
}

}  // namespace

VerifySettings VerifySettings::parse(const Value& v) {
  VerifySettings s;
  s.prompts = texts(v.at("prompts"), kPrompts);
  s.sentences = texts(v.at("sentences"), kSentences);
  s.text = v.text_or("text", "");
  s.max_new_tokens = v.at("max_new_tokens").as_int();
  if (const Value* error = v.find("max_logit_error")) s.max_logit_error = error->as_real();
  s.max_divergence = v.at("max_divergence").as_real();
  s.min_agreement = v.at("min_agreement").as_real();
  s.max_perplexity_ratio = v.at("max_perplexity_ratio").as_real();
  s.min_cosine = v.at("min_cosine").as_real();
  s.min_centred_cosine = v.at("min_centred_cosine").as_real();
  s.min_rank_correlation = v.at("min_rank_correlation").as_real();
  return s;
}

Value with_golden_config(Value verify, const std::filesystem::path& file) {
  const Value document = load_layers(file).value();
  const Value* section = document.find("verify");
  if (section == nullptr) fail_usage(file.string() + ": has no [verify], so it says neither prompts nor sentences");
  for (const auto& [key, value] : section->members()) verify.set(key, value);
  return verify;
}

}  // namespace d2c::host
