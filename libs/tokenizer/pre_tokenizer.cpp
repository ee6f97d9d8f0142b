#include "libs/tokenizer/pre_tokenizer.hpp"

#include "libs/tokenizer/byte_level.hpp"
#include "libs/tokenizer/regex.hpp"

#include <optional>
#include <string_view>
#include <utility>

namespace d2c::tokenizer {
namespace {

constexpr const char* kGpt2Words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behavior behavior_named(const std::string& name, const std::string& where) {
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  fail_input(where + ": the split behavior '" + name + "' is not supported");
}

struct Piece {
  std::string_view text;
  bool is_match;
};

/// The text in pieces: what a search finds, and what lies between.
template <class Find>
std::vector<Piece> pieces_of(std::string_view text, Find&& find, bool invert) {
  std::vector<Piece> pieces;
  std::size_t at = 0;
  while (const auto match = find(text, at)) {
    if (match->first > at) pieces.push_back({text.substr(at, match->first - at), invert});
    pieces.push_back({text.substr(match->first, match->second - match->first), !invert});
    at = match->second;
  }
  if (at < text.size()) pieces.push_back({text.substr(at), invert});
  return pieces;
}

void arrange(const std::vector<Piece>& pieces, Behavior behavior, std::vector<std::string>& words) {
  std::optional<bool> last;  // was the piece before this one a match?
  bool joins = false;        // merged_with_next: a match waits for what follows
  for (const auto& [text, is_match] : pieces) {
    const bool append = (behavior == Behavior::merged_with_previous && is_match && last == false) ||
                        (behavior == Behavior::merged_with_next && joins && !is_match) ||
                        (behavior == Behavior::contiguous && last == is_match);
    joins = is_match;
    last = is_match;
    if (behavior == Behavior::removed && is_match) continue;
    if (append) words.back().append(text);
    else words.emplace_back(text);
  }
}

template <class Find>
auto splitter(Find find, Behavior behavior, bool invert) {
  return [=](const std::vector<std::string>& from) {
    std::vector<std::string> words;
    for (const std::string& word : from) arrange(pieces_of(word, find, invert), behavior, words);
    return words;
  };
}

auto finder(Regex regex) {
  return [regex = std::move(regex)](std::string_view text, std::size_t from) { return regex.find(text, from); };
}

auto finder(std::string needle) {
  return [needle = std::move(needle)](std::string_view text,
                                      std::size_t from) -> std::optional<std::pair<std::size_t, std::size_t>> {
    const std::size_t at = needle.empty() ? std::string_view::npos : text.find(needle, from);
    if (at == std::string_view::npos) return std::nullopt;
    return std::pair(at, at + needle.size());
  };
}

}  // namespace

PreTokenizer::PreTokenizer(const Value* spec, const std::string& where) {
  if (spec != nullptr) add(*spec, where);
}

std::vector<std::string> PreTokenizer::apply(std::string text) const {
  Words words{std::move(text)};
  for (const auto& step : steps_) words = step(std::move(words));
  return words;
}

void PreTokenizer::add(const Value& spec, const std::string& where) {
  const std::string type = spec.at("type").as_text();
  const auto split = [&](const char* regex, Behavior behavior, bool invert = false) {
    steps_.emplace_back(splitter(finder(Regex(regex, where)), behavior, invert));
  };
  if (type == "Sequence") {
    for (const Value& step : spec.at("pretokenizers").items()) add(step, where);
  } else if (type == "Split") {
    add_split(spec, where);
  } else if (type == "ByteLevel") {
    add_byte_level(spec, where);
  } else if (type == "Digits") {
    split(R"(\p{N})", spec.bool_or("individual_digits", false) ? Behavior::isolated : Behavior::contiguous);
  } else if (type == "Punctuation") {
    split(R"([\p{P}$+<=>^`|~])", behavior_named(spec.text_or("behavior", "Isolated"), where));
  } else if (type == "Whitespace") {
    split(R"(\w+|[^\w\s]+)", Behavior::removed, true);
  } else if (type == "WhitespaceSplit") {
    split(R"(\s)", Behavior::removed);
  } else {
    fail_input(where + ": the pre-tokenizer '" + type + "' is not supported");
  }
}

void PreTokenizer::add_split(const Value& spec, const std::string& where) {
  const Behavior behavior = behavior_named(spec.text_or("behavior", "Isolated"), where);
  const bool invert = spec.bool_or("invert", false);
  const Value& pattern = spec.at("pattern");
  if (const Value* regex = pattern.find("Regex"))
    steps_.emplace_back(splitter(finder(Regex(regex->as_text(), where)), behavior, invert));
  else steps_.emplace_back(splitter(finder(pattern.at("String").as_text()), behavior, invert));
}

void PreTokenizer::add_byte_level(const Value& spec, const std::string& where) {
  if (spec.bool_or("add_prefix_space", true)) {
    steps_.emplace_back([](Words words) {
      for (std::string& word : words)
        if (!word.starts_with(' ')) word.insert(word.begin(), ' ');
      return words;
    });
  }
  if (spec.bool_or("use_regex", true))
    steps_.emplace_back(splitter(finder(Regex(kGpt2Words, where)), Behavior::isolated, false));
  steps_.emplace_back([](Words words) {
    for (std::string& word : words) word = to_byte_level(word);
    return words;
  });
}

}  // namespace d2c::tokenizer
