#include "plugins/lora_unsloth/pattern.hpp"

#include <d2c/error.hpp>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>
#include <utility>

namespace d2c::lora {
namespace {

// Real patterns need some hundred steps on a module name; the limit takes about a millisecond.
constexpr std::uint32_t kMatchLimit = 100'000;
constexpr std::uint32_t kHeapLimitKib = 16 * 1024;
constexpr std::size_t kMaxLength = 64 * 1024;

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  const int length = pcre2_get_error_message(code, text, sizeof text);
  return length < 0 ? "error " + std::to_string(code) : std::string(reinterpret_cast<const char*>(text));
}

struct Free {
  void operator()(pcre2_code* p) const noexcept { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const noexcept { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const noexcept { pcre2_match_context_free(p); }
};

template <class T>
std::unique_ptr<T, Free> own(T* p) {
  if (p == nullptr) throw std::bad_alloc();
  return std::unique_ptr<T, Free>(p);
}

}  // namespace

struct Pattern::Compiled {
  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_context, Free> context;
};

Pattern::Pattern(const std::string& expression, std::string where) : expression_(expression), where_(std::move(where)) {
  if (expression.size() > kMaxLength)
    fail_input(where_ + ": the pattern has " + std::to_string(expression.size()) + " characters; the limit is 65536");
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  // \C would step into the middle of a character, and callouts have no place in a config file.
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                     PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  if (compiled->code == nullptr) {
    fail_input(where_ + ": '" + expression + "' is no regular expression: " + message_of(error) + " at character " +
               std::to_string(offset));
  }
  compiled->context = own(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(compiled->context.get(), kMatchLimit);
  pcre2_set_heap_limit(compiled->context.get(), kHeapLimitKib);
  compiled_ = std::move(compiled);
}

bool Pattern::matches_whole(std::string_view text) const {
  return run(text, PCRE2_ANCHORED | PCRE2_ENDANCHORED, nullptr);
}

std::optional<std::string> Pattern::match_group(std::string_view text) const {
  std::string group;
  if (!run(text, PCRE2_ANCHORED, &group)) return std::nullopt;
  return group;
}

bool Pattern::run(std::string_view text, unsigned options, std::string* group) const {
  const auto data = own(pcre2_match_data_create_from_pattern(compiled_->code.get(), nullptr));
  const int found = pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                options, data.get(), compiled_->context.get());
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) {
    fail_input(where_ + ": matching '" + expression_ + "' against '" + std::string(text) +
               "' failed: " + message_of(found) + "; use a simpler pattern");
  }
  if (group != nullptr && found > 1) {
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    if (bounds[2] != PCRE2_UNSET) *group = std::string(text.substr(bounds[2], bounds[3] - bounds[2]));
  }
  return true;
}

NameList::NameList(std::vector<std::string> names) : names_(std::move(names)), set_(names_.begin(), names_.end()) {}

bool NameList::holds_exactly(std::string_view module) const { return set_.find(module) != set_.end(); }

std::vector<std::string_view> NameList::matches(std::string_view module) const {
  std::vector<std::string_view> found;
  while (true) {
    if (const auto it = set_.find(module); it != set_.end()) found.emplace_back(*it);
    const std::size_t dot = module.find('.');
    if (dot == std::string_view::npos) return found;
    module.remove_prefix(dot + 1);
  }
}

}  // namespace d2c::lora
