#include "host/inference/text.hpp"

#include "host/log/log.hpp"
#include "libs/tokenizer/chat_template.hpp"
#include "libs/tokenizer/llm2vec_text.hpp"
#include "libs/tokenizer/tokenizer.hpp"

#include <optional>
#include <utility>

namespace d2c::host {

struct Text::Impl {
  tokenizer::Files files;
  std::string template_name;
  tokenizer::Tokenizer tokenizer;
  std::set<std::int32_t> stops;
  mutable std::optional<tokenizer::ChatTemplate> chat;

  Impl(tokenizer::Files from, std::string name)
      : files(std::move(from)), template_name(std::move(name)), tokenizer(tokenizer::Tokenizer::from_files(files)) {
    const auto list = tokenizer::stop_tokens(files, tokenizer);
    stops.insert(list.begin(), list.end());
    if (!template_name.empty()) chat = tokenizer::ChatTemplate::named(template_name);
  }

  [[nodiscard]] const tokenizer::ChatTemplate& chat_template() const {
    if (!chat) chat = tokenizer::ChatTemplate::from_files(files);
    return *chat;
  }
};

struct Text::Stream::Impl {
  tokenizer::StreamDecoder decoder;
};

Text::Text(PluginRegistry& plugins, const std::string& path, const std::string& chat_template, TokenizerOf which)
    : impl_(std::make_unique<Impl>(tokenizer_files(plugins, path, which), chat_template)) {}
Text::~Text() = default;

std::vector<std::int32_t> Text::encode(std::string_view text) const {
  return impl_->tokenizer.encode(text, {.add_special = true, .parse_special = false});
}

std::string Text::text(std::span<const std::int32_t> tokens) const {
  tokenizer::StreamDecoder decoder(impl_->tokenizer);
  std::string text;
  for (const std::int32_t token : tokens) text += decoder.push(token);
  return text + decoder.finish();
}

std::vector<std::int32_t> Text::prompt(std::span<const Message> messages) const {
  std::vector<tokenizer::Message> turns;
  for (const Message& m : messages) turns.push_back({m.role, m.content});
  return impl_->tokenizer.encode(impl_->chat_template().render(turns, true),
                                 {.add_special = false, .parse_special = true});
}

const std::set<std::int32_t>& Text::stop_tokens() const noexcept { return impl_->stops; }

EncoderInput Text::sentence(const EncoderFacts& encoder, const std::string& instruction,
                            const std::string& text) const {
  tokenizer::Llm2VecSettings settings;
  settings.pooling = encoder.pooling;
  settings.max_length = encoder.max_length;
  settings.max_text_tokens = encoder.doc_max_length;
  settings.skip_instruction = encoder.skip_instruction;
  settings.chat_wrapper = encoder.chat_wrapper;
  settings.end_of_text = encoder.end_of_text;
  auto prepared = tokenizer::prepare_llm2vec(impl_->tokenizer, settings, instruction, text);
  if (prepared.cut) log::warn("a text is longer than the encoder takes and was cut: '" + text.substr(0, 40) + "...'");
  return {std::move(prepared.ids), std::move(prepared.pooling_mask)};
}

Text::Stream::Stream(const Text& text)
    : impl_(std::make_unique<Impl>(Impl{tokenizer::StreamDecoder(text.impl_->tokenizer)})) {}
Text::Stream::~Stream() = default;
std::string Text::Stream::push(std::int32_t token) { return impl_->decoder.push(token); }
std::string Text::Stream::finish() { return impl_->decoder.finish(); }

}  // namespace d2c::host
