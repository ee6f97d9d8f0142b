#include "libs/tokenizer/bpe.hpp"

#include "libs/tokenizer/utf8.hpp"

#include <d2c/error.hpp>

#include <array>
#include <queue>
#include <tuple>

namespace d2c::tokenizer {
namespace {

std::uint64_t pair_key(std::int32_t left, std::int32_t right) noexcept {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

std::string byte_token(char byte) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  const auto b = static_cast<unsigned char>(byte);
  return {'<', '0', 'x', kDigits[b >> 4], kDigits[b & 15], '>'};
}

struct Candidate {
  std::int32_t rank, position, id;

  /// The lowest rank first, from left to right.
  bool operator<(const Candidate& other) const noexcept {
    return std::tie(rank, position) > std::tie(other.rank, other.position);
  }
};

}  // namespace

void Bpe::add_token(std::string text, std::int32_t id) {
  const auto [at, is_new] = ids_.emplace(std::move(text), id);
  if (!is_new && at->second != id) fail_input("the vocabulary has '" + at->first + "' twice");
}

void Bpe::add_merge(std::string_view left, std::string_view right) {
  const auto a = find(left), b = find(right), joined = find(std::string(left).append(right));
  if (!a || !b || !joined)
    fail_input("the merge '" + std::string(left) + " " + std::string(right) + "' is none of tokens of the vocabulary");
  merges_.emplace(pair_key(*a, *b), Merge{static_cast<std::int32_t>(merges_.size()), *joined});
}

std::optional<std::int32_t> Bpe::find(std::string_view text) const {
  const auto at = ids_.find(text);
  return at == ids_.end() ? std::nullopt : std::optional(at->second);
}

void Bpe::encode(std::string_view word, std::vector<std::int32_t>& out) const {
  if (options_.ignore_merges)
    if (const auto whole = find(word)) return out.push_back(*whole);
  std::vector<Symbol> symbols = characters(word);
  std::priority_queue<Candidate> candidates;
  const auto consider = [&](std::int32_t left) {
    if (left < 0 || symbols[left].next < 0) return;
    const Symbol &a = symbols[left], &b = symbols[a.next];
    if (const auto merge = merge_of(word, a, b)) candidates.push({merge->rank, left, merge->id});
  };
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) consider(static_cast<std::int32_t>(i));
  while (!candidates.empty()) {
    const Candidate c = candidates.top();
    candidates.pop();
    Symbol& left = symbols[c.position];
    if (left.size == 0 || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    const auto merge = merge_of(word, left, right);  // either side may have changed since
    if (!merge || merge->id != c.id) continue;
    left.id = c.id;
    left.size += right.size;
    right.size = 0;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = c.position;
    consider(left.previous);
    consider(c.position);
  }
  for (const Symbol& s : symbols)
    if (s.size > 0) out.push_back(s.id);
}

std::vector<Bpe::Symbol> Bpe::characters(std::string_view word) const {
  std::vector<Symbol> symbols;
  for (std::size_t at = 0, size = 0; at < word.size(); at += size) {
    (void)character_at(word.substr(at), size);
    if (const auto id = find(word.substr(at, size))) symbols.push_back({*id, 0, 0, at, size});
    else add_unknown(word, at, size, symbols);
  }
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    symbols[i].previous = static_cast<std::int32_t>(i) - 1;
    symbols[i].next = i + 1 < symbols.size() ? static_cast<std::int32_t>(i) + 1 : -1;
  }
  return symbols;
}

void Bpe::add_unknown(std::string_view word, std::size_t at, std::size_t size, std::vector<Symbol>& symbols) const {
  if (options_.byte_fallback) {
    std::vector<Symbol> bytes;
    for (std::size_t i = at; i < at + size; ++i)
      if (const auto id = find(byte_token(word[i]))) bytes.push_back({*id, 0, 0, i, 1});
    if (bytes.size() == size) return void(symbols.insert(symbols.end(), bytes.begin(), bytes.end()));
  }
  if (!options_.unknown) return;  // as the trained tokenizer does: it is left out
  if (options_.fuse_unknown && !symbols.empty() && symbols.back().id == *options_.unknown &&
      symbols.back().begin + symbols.back().size == at) {
    symbols.back().size += size;
    return;
  }
  symbols.push_back({*options_.unknown, 0, 0, at, size});
}

std::optional<Bpe::Merge> Bpe::merge_of(std::string_view word, const Symbol& left, const Symbol& right) const {
  if (merges_by_id_) {
    if (left.begin + left.size != right.begin) return std::nullopt;
    const auto id = find(word.substr(left.begin, left.size + right.size));
    return id ? std::optional(Merge{*id, *id}) : std::nullopt;
  }
  const auto at = merges_.find(pair_key(left.id, right.id));
  return at == merges_.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace d2c::tokenizer
