// Text to token ids and back, as the model was trained with: tokenizer.json (byte-level BPE) or Llama 3's tokenizer.model.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::tokenizer {

/// File name -> contents: tokenizer.json, tokenizer_config.json, generation_config.json, tokenizer.model, ...
using Files = std::map<std::string, std::string>;

struct EncodeOptions {
  bool add_special = false;    ///< what the model's tokenizer puts around a text, e.g. <|begin_of_text|>
  bool parse_special = false;  ///< special tokens written in the text are those tokens, not plain text
};

/// Immutable; thread-safe. Copies share their tables.
class Tokenizer {
 public:
  /// Error(input) where the files hold no tokenizer, a malformed one, or one with a step that is not known here.
  [[nodiscard]] static Tokenizer from_files(const Files& files);

  /// Error(input) where `text` is not UTF-8.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text, EncodeOptions options = {}) const;
  /// The bytes that the tokens stand for, which need not be UTF-8. Error(input) for ids outside the vocabulary.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids, bool skip_special = false) const;

  [[nodiscard]] std::int32_t size() const noexcept;  ///< ids are below it; some may stand for nothing
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const;
  [[nodiscard]] bool is_special(std::int32_t id) const noexcept;
  /// The tokens named by tokenizer_config.json, or as the format fixes them.
  [[nodiscard]] std::optional<std::int32_t> bos() const noexcept;
  [[nodiscard]] std::optional<std::int32_t> eos() const noexcept;

  struct Impl;

 private:
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
};

/// Text as its tokens come in. Characters come out whole; bytes that are no UTF-8 come out as U+FFFD.
class StreamDecoder {
 public:
  /// Special tokens are left out if `skip_special`.
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = true)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

  [[nodiscard]] std::string push(std::int32_t id);
  /// What is left of a character that never ended.
  [[nodiscard]] std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::string pending_;
};

}  // namespace d2c::tokenizer
