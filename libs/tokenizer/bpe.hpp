// Byte-pair encoding of one word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace d2c::tokenizer {

/// Vocabulary and merges. Immutable once filled; thread-safe then.
class Bpe {
 public:
  struct Options {
    std::optional<std::int32_t> unknown;  ///< stands for characters that are no token
    bool fuse_unknown = false;            ///< a run of them is one
    bool byte_fallback = false;           ///< they become tokens <0x00>..<0xFF> where those exist
    bool ignore_merges = false;           ///< a word that is a token is that token, whatever the merges say
  };

  /// Error(input) for a token given twice.
  void add_token(std::string text, std::int32_t id);
  /// The next merge in rank. Error(input) where it names no tokens, or their concatenation is none.
  void add_merge(std::string_view left, std::string_view right);
  /// There is no list of merges: two tokens merge if together they are a token, lower ids first.
  void merge_by_id() noexcept { merges_by_id_ = true; }
  void set_options(Options options) { options_ = std::move(options); }

  [[nodiscard]] std::optional<std::int32_t> find(std::string_view text) const;
  /// Appends the tokens of a word, valid UTF-8.
  void encode(std::string_view word, std::vector<std::int32_t>& out) const;

 private:
  struct Symbol {
    std::int32_t id;
    std::int32_t previous, next;  ///< -1 at the ends
    std::size_t begin, size;      ///< of the word; size 0: merged into its left neighbour
  };
  struct Merge {
    std::int32_t rank, id;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>()(s); }
  };

  [[nodiscard]] std::vector<Symbol> characters(std::string_view word) const;
  void add_unknown(std::string_view word, std::size_t at, std::size_t size, std::vector<Symbol>& symbols) const;
  [[nodiscard]] std::optional<Merge> merge_of(std::string_view word, const Symbol& left, const Symbol& right) const;

  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> ids_;
  std::unordered_map<std::uint64_t, Merge> merges_;  ///< by left id << 32 | right id
  bool merges_by_id_ = false;
  Options options_;
};

}  // namespace d2c::tokenizer
