#include "libs/tokenizer/regex.hpp"

#include "libs/tokenizer/utf8.hpp"

#include <d2c/error.hpp>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>

namespace d2c::tokenizer {
namespace {

// A run of spaces makes `\s+(?!\S)` step back once; nothing a model was trained with needs more than a few steps a byte.
constexpr std::uint32_t kMatchLimit = 50'000'000;
constexpr std::uint32_t kHeapLimitKib = 256 * 1024;

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  const int length = pcre2_get_error_message(code, text, sizeof text);
  return length < 0 ? "error " + std::to_string(code) : std::string(reinterpret_cast<const char*>(text));
}

/// `\s` as the engines that tokenizers are trained with mean it: for PCRE2 it also matches U+180E, which is no space since
/// Unicode 6.3.
std::string with_unicode_spaces(const std::string& expression) {
  std::string out;
  for (std::size_t at = 0; at < expression.size(); ++at) {
    if (expression[at] != '\\' || at + 1 == expression.size()) {
      out += expression[at];
      continue;
    }
    const char escaped = expression[++at];
    if (escaped == 's') out += "\\p{White_Space}";
    else if (escaped == 'S') out += "\\P{White_Space}";
    else out.append({'\\', escaped});
  }
  return out;
}

struct Free {
  void operator()(pcre2_code* p) const noexcept { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const noexcept { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const noexcept { pcre2_match_context_free(p); }
};

}  // namespace

struct Regex::Compiled {
  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_context, Free> context;
};

Regex::Regex(const std::string& expression, const std::string& where) : where_(where) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  const std::string pattern = with_unicode_spaces(expression);
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  if (compiled->code == nullptr)
    fail_input(where + ": '" + expression + "' is no regular expression: " + message_of(error));
  // Without a just-in-time compiler matching is slower, not different.
  (void)pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);
  compiled->context.reset(pcre2_match_context_create(nullptr));
  if (compiled->context == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(compiled->context.get(), kMatchLimit);
  pcre2_set_heap_limit(compiled->context.get(), kHeapLimitKib);
  compiled_ = std::move(compiled);
}

std::optional<std::pair<std::size_t, std::size_t>> Regex::find(std::string_view text, std::size_t from) const {
  const std::unique_ptr<pcre2_match_data, Free> data(
      pcre2_match_data_create_from_pattern(compiled_->code.get(), nullptr));
  if (data == nullptr) throw std::bad_alloc();
  while (from < text.size()) {
    const int found = pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                  PCRE2_NO_UTF_CHECK, data.get(), compiled_->context.get());
    if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (found < 0) fail_input(where_ + ": splitting the text failed: " + message_of(found));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    if (range[1] > range[0]) return std::pair(range[0], range[1]);
    std::size_t length = 1;
    if (range[0] < text.size()) (void)character_at(text.substr(range[0]), length);
    from = range[0] + length;
  }
  return std::nullopt;
}

}  // namespace d2c::tokenizer
