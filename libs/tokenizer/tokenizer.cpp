#include "libs/tokenizer/tokenizer.hpp"

#include "libs/tokenizer/model.hpp"
#include "libs/tokenizer/utf8.hpp"

#include <d2c/error.hpp>

#include <utility>

namespace d2c::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

void encode_plain(const Tokenizer::Impl& t, std::string_view text, bool parse_special, std::vector<std::int32_t>& out) {
  const std::string normal = t.normalizer.apply(std::string(text));
  for (const auto& piece : t.added.split(normal, true, parse_special)) {
    if (piece.id) out.push_back(*piece.id);
    else
      for (const std::string& word : t.pre_tokenizer.apply(std::string(piece.text))) t.bpe.encode(word, out);
  }
}

/// Moves whole characters from `pending` to the result; bytes that can be none become U+FFFD.
std::string take_characters(std::string& pending) {
  std::string out;
  std::string_view rest = pending;
  while (!rest.empty()) {
    const int length = character_length(rest);
    if (length < 0) break;
    if (length == 0) out += kReplacement;
    else out.append(rest, 0, static_cast<std::size_t>(length));
    rest.remove_prefix(static_cast<std::size_t>(std::max(length, 1)));
  }
  pending = std::string(rest);
  return out;
}

}  // namespace

Tokenizer Tokenizer::from_files(const Files& files) {
  if (files.contains("tokenizer.json")) return Tokenizer(parse_tokenizer_json(files));
  if (const auto model = files.find("tokenizer.model"); model != files.end())
    return Tokenizer(parse_tiktoken(model->second));
  fail_input("there is no tokenizer.json and no tokenizer.model; name the folder that has the model's tokenizer");
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (!is_utf8(text)) fail_input("the text is not UTF-8; convert it first");
  std::vector<std::int32_t> ids;
  if (options.add_special) ids = impl_->prefix;
  for (const auto& piece : impl_->added.split(text, false, options.parse_special)) {
    if (piece.id) ids.push_back(*piece.id);
    else encode_plain(*impl_, piece.text, options.parse_special, ids);
  }
  if (options.add_special) ids.insert(ids.end(), impl_->suffix.begin(), impl_->suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string out;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= size())
      fail_input("token " + std::to_string(id) + " is none of the " + std::to_string(size()) + " of the tokenizer");
    if (!skip_special || !impl_->special[id]) out += impl_->bytes[id];
  }
  if (impl_->strip_leading_space && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

std::int32_t Tokenizer::size() const noexcept { return static_cast<std::int32_t>(impl_->bytes.size()); }

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  const auto at = impl_->added_ids.find(std::string(token));
  return at != impl_->added_ids.end() ? std::optional(at->second) : impl_->bpe.find(token);
}

bool Tokenizer::is_special(std::int32_t id) const noexcept { return id >= 0 && id < size() && impl_->special[id]; }
std::optional<std::int32_t> Tokenizer::bos() const noexcept { return impl_->bos; }
std::optional<std::int32_t> Tokenizer::eos() const noexcept { return impl_->eos; }

std::string StreamDecoder::push(std::int32_t id) {
  pending_ += tokenizer_.decode(std::span(&id, 1), skip_special_);
  return take_characters(pending_);
}

std::string StreamDecoder::finish() {
  const bool cut = !pending_.empty();
  pending_.clear();
  return cut ? std::string(kReplacement) : std::string();
}

}  // namespace d2c::tokenizer
