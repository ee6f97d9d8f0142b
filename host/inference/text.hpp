// The text side of a package: its tokenizer, its chat template, its stop tokens.
#pragma once

#include "host/inference/chat.hpp"
#include "host/inference/embedder.hpp"
#include "host/inference/model.hpp"
#include "host/inference/tokenizer_files.hpp"
#include "host/loader/plugin_registry.hpp"

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::host {

class Text final : public ChatText {
 public:
  /// `path`: a package, or whatever else holds a tokenizer's files. Error(input) saying what to do where it holds none.
  /// `chat_template`: by name; empty: the model's own, which need be there only once a prompt is asked for.
  Text(PluginRegistry& plugins, const std::string& path, const std::string& chat_template = {},
       TokenizerOf which = TokenizerOf::model);
  ~Text() override;

  /// As the start of a document: with the token that begins one, if the model's tokenizer puts it there.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const;
  /// Without special tokens.
  [[nodiscard]] std::string text(std::span<const std::int32_t> tokens) const override;
  [[nodiscard]] std::vector<std::int32_t> prompt(std::span<const Message> messages) const override;
  [[nodiscard]] const std::set<std::int32_t>& stop_tokens() const noexcept;
  /// A sentence as LLM2Vec prepares it for the package's encoder: cut to its length, which is logged as a warning.
  [[nodiscard]] EncoderInput sentence(const EncoderFacts& encoder, const std::string& instruction,
                                      const std::string& text) const;

  /// Text as its tokens come in, never half a character.
  class Stream {
   public:
    explicit Stream(const Text& text);
    ~Stream();
    [[nodiscard]] std::string push(std::int32_t token);
    [[nodiscard]] std::string finish();

   private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
  };

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2c::host
