#include "libs/tokenizer/llm2vec_text.hpp"

#include "libs/tokenizer/utf8.hpp"

#include <d2c/error.hpp>

#include <algorithm>

namespace d2c::tokenizer {
namespace {

constexpr std::string_view kSeparator = "!@#$%^&*()";

/// White space as Python's str.split() and str.strip() know it.
bool is_space(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  for (std::size_t at = 0, length = 0; at <= text.size(); at += length) {
    if (at < text.size() && !is_space(character_at(text.substr(at), length))) continue;
    if (at > begin) words.push_back(text.substr(begin, at - begin));
    if (at == text.size()) break;
    begin = at + length;
  }
  return words;
}

std::string stripped(std::string_view text) {
  const auto words = words_of(text);
  if (words.empty()) return {};
  return {words.front().data(), words.back().data() + words.back().size()};
}

std::int64_t token_count(const Tokenizer& tokenizer, std::string_view text, std::int64_t max_length) {
  return std::min(static_cast<std::int64_t>(tokenizer.encode(text, {false, true}).size()), max_length);
}

std::string shortened(const Tokenizer& tokenizer, std::string text, const Llm2VecSettings& settings) {
  const std::int64_t limit = settings.max_text_tokens;
  for (std::int64_t count; (count = token_count(tokenizer, text, settings.max_length)) > limit;) {
    const auto words = words_of(text);
    const double ratio = static_cast<double>(limit) / static_cast<double>(count);
    const auto kept = static_cast<std::size_t>(static_cast<double>(words.size()) * ratio);
    std::string joined;
    for (std::size_t i = 0; i < kept; ++i) joined.append(i == 0 ? "" : " ").append(words[i]);
    if (joined == text) break;  // one word longer than the limit cannot be shortened by words
    text = std::move(joined);
  }
  return text;
}

std::string prepared(const Llm2VecSettings& settings, const std::string& instruction, const std::string& text) {
  std::string joined = instruction.empty() ? std::string() : stripped(instruction) + " ";
  joined.append(kSeparator).append(text);
  if (settings.chat_wrapper) return "<|start_header_id|>user<|end_header_id|>\n\n" + stripped(joined) + "<|eot_id|>";
  return settings.pooling == "eos_token" ? stripped(joined) + settings.end_of_text : joined;
}

std::int32_t require_bos(const Tokenizer& tokenizer) {
  if (const auto bos = tokenizer.bos()) return *bos;
  fail_input("bos_token pooling needs a tokenizer with a beginning-of-text token; set encoder.pooling to another");
}

std::vector<std::int32_t> mask_of(const Tokenizer& tokenizer, const Llm2VecSettings& settings,
                                  const std::vector<std::int32_t>& ids, std::int64_t text_tokens) {
  std::vector<std::int32_t> mask(ids.size(), 0);
  if (settings.pooling == "bos_token") {
    const auto at = std::ranges::find(ids, require_bos(tokenizer));
    if (at == ids.end()) fail_input("bos_token pooling: the tokenizer puts no such token before a text");
    mask[at - ids.begin()] = 1;
  } else if (settings.pooling == "eos_token" || settings.pooling == "last_token") {
    if (!mask.empty()) mask.back() = 1;
  } else {
    const auto pooled = settings.skip_instruction ? std::min(text_tokens, static_cast<std::int64_t>(mask.size()))
                                                  : static_cast<std::int64_t>(mask.size());
    std::fill(mask.end() - pooled, mask.end(), 1);
  }
  return mask;
}

}  // namespace

Llm2VecText prepare_llm2vec(const Tokenizer& tokenizer, const Llm2VecSettings& settings, const std::string& instruction,
                            const std::string& text) {
  const std::string fitting = shortened(tokenizer, text, settings);
  const std::string whole = prepared(settings, instruction, fitting);
  // The separator marks where the text begins and is taken out again; texts may hold it themselves.
  std::string joined, own;
  std::size_t part = 0;
  for (std::size_t at = 0;; ++part) {
    const std::size_t next = whole.find(kSeparator, at);
    const std::string piece = whole.substr(at, next == std::string::npos ? next : next - at);
    joined += piece;
    if (part == 1) own = piece;
    if (next == std::string::npos) break;
    at = next + kSeparator.size();
  }
  Llm2VecText out;
  out.ids = tokenizer.encode(joined, {true, true});
  out.cut = fitting != text || static_cast<std::int64_t>(out.ids.size()) > settings.max_length;
  if (static_cast<std::int64_t>(out.ids.size()) > settings.max_length)
    out.ids.resize(static_cast<std::size_t>(settings.max_length));
  out.pooling_mask = mask_of(tokenizer, settings, out.ids, token_count(tokenizer, own, settings.max_length));
  return out;
}

}  // namespace d2c::tokenizer
