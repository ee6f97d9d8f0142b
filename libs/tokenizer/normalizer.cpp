#include "libs/tokenizer/normalizer.hpp"

#include "libs/tokenizer/regex.hpp"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>
#include <utility>

namespace d2c::tokenizer {
namespace {

std::string unicode_form(const std::string& text, int options) {
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &result, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(result, &std::free);
  if (size < 0) fail_input(std::string("the text cannot be normalized: ") + utf8proc_errmsg(size));
  return {reinterpret_cast<const char*>(result), static_cast<std::size_t>(size)};
}

std::string replace_all(const std::string& text, const std::string& from, const std::string& to) {
  std::string out;
  std::size_t at = 0;
  for (std::size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size())
    out.append(text, at, found - at).append(to);
  return out.append(text, at);
}

std::string replace_matches(const std::string& text, const Regex& regex, const std::string& to) {
  std::string out;
  std::size_t at = 0;
  while (const auto match = regex.find(text, at)) {
    out.append(text, at, match->first - at).append(to);
    at = match->second;
  }
  return out.append(text, at);
}

}  // namespace

Normalizer::Normalizer(const Value* spec, const std::string& where) {
  if (spec != nullptr) add(*spec, where);
}

std::string Normalizer::apply(std::string text) const {
  for (const auto& step : steps_) text = step(std::move(text));
  return text;
}

void Normalizer::add(const Value& spec, const std::string& where) {
  const std::string type = spec.at("type").as_text();
  const auto form = [&](int options) {
    steps_.emplace_back([options](const std::string& text) { return unicode_form(text, options); });
  };
  if (type == "Sequence") {
    for (const Value& step : spec.at("normalizers").items()) add(step, where);
  } else if (type == "NFC") {
    form(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  } else if (type == "NFD") {
    form(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
  } else if (type == "NFKC") {
    form(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  } else if (type == "NFKD") {
    form(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  } else if (type == "Prepend") {
    steps_.emplace_back([prefix = spec.at("prepend").as_text()](const std::string& text) {
      return text.empty() ? text : prefix + text;
    });
  } else if (type == "Replace") {
    const Value& pattern = spec.at("pattern");
    const std::string to = spec.at("content").as_text();
    if (const Value* regex = pattern.find("Regex")) {
      steps_.emplace_back([regex = Regex(regex->as_text(), where), to](const std::string& text) {
        return replace_matches(text, regex, to);
      });
    } else if (const std::string from = pattern.at("String").as_text(); !from.empty()) {
      steps_.emplace_back([from, to](const std::string& text) { return replace_all(text, from, to); });
    }
  } else {
    fail_input(where + ": the normalizer '" + type + "' is not supported");
  }
}

}  // namespace d2c::tokenizer
