#include "plugins/source_hf_hub/answers.hpp"

#include "libs/hub_cache/blob_digest.hpp"
#include "libs/hub_cache/repository.hpp"
#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace d2c::hub {
namespace {

/// W/"0123" -> 0123.
std::string etag_value(std::string text) {
  if (text.starts_with("W/")) text.erase(0, 2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return text;
}

std::uint64_t number(const std::string& text, const std::string& what) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    fail(Code::network, what + ": the server does not say how large it is; is HF_ENDPOINT a hub?");
  return value;
}

/// "bytes 0-99/1000".
struct ContentRange {
  std::uint64_t first = 0, last = 0, total = 0;
};

std::optional<ContentRange> parse_content_range(const std::string& text) {
  ContentRange range;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto skip = [&](std::string_view word) {
    const bool there = std::string_view(at, static_cast<std::size_t>(end - at)).starts_with(word);
    if (there) at += word.size();
    return there;
  };
  const auto read = [&](std::uint64_t& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    at = next;
    return error == std::errc();
  };
  const bool good = skip("bytes ") && read(range.first) && skip("-") && read(range.last) && skip("/") &&
                    read(range.total) && at == end && range.first <= range.last && range.last < range.total;
  return good ? std::optional(range) : std::nullopt;
}

Value parse_json(const std::string& body, const std::string& where) {
  try {
    return json::parse(body, where);
  } catch (const Error& e) {
    throw Error(Code::network, e.what());
  }
}

}  // namespace

Revision parse_revision(const std::string& body, const std::string& where) {
  const Value info = parse_json(body, where);
  const Value* sha = info.is_table() ? info.find("sha") : nullptr;
  const Value* siblings = info.is_table() ? info.find("siblings") : nullptr;
  if (sha == nullptr || !sha->is_text() || !is_commit(sha->as_text()) || siblings == nullptr || !siblings->is_list())
    fail(Code::network, where + ": the answer names no commit and files; is HF_ENDPOINT a hub?");
  Revision revision{sha->as_text(), {}};
  for (const Value& sibling : siblings->items()) {
    const Value* name = sibling.is_table() ? sibling.find("rfilename") : nullptr;
    if (name != nullptr && name->is_text() && is_plain_file_name(name->as_text()))
      revision.files.push_back(name->as_text());
  }
  std::sort(revision.files.begin(), revision.files.end());
  revision.files.erase(std::unique(revision.files.begin(), revision.files.end()), revision.files.end());
  return revision;
}

RemoteFile parse_file(const Response& response, const std::string& name, const std::string& commit,
                      const std::string& what) {
  const std::string seen = response.header("x-repo-commit");
  if (!seen.empty() && seen != commit)
    fail(Code::network, what + ": belongs to commit " + seen + ", but " + commit +
                            " was asked for; the model changes at this moment, run again");
  const std::string linked = response.header("x-linked-etag");
  RemoteFile file{name, etag_value(linked.empty() ? response.header("etag") : linked), 0};
  if (!is_blob_name(file.blob))
    fail(Code::network,
         what + ": the server names no digest that its bytes can be checked against; is HF_ENDPOINT a hub?");
  const std::string size = response.header("x-linked-size");
  file.size = number(size.empty() ? response.header("content-length") : size, what);
  return file;
}

std::string wrong_bytes(const Response& response, const std::optional<Range>& asked, std::uint64_t size) {
  if (!asked)
    return response.status == 200 ? ""
                                  : "an answer that was not asked for (HTTP " + std::to_string(response.status) + ")";
  if (response.status == 200) return "the whole file where a range of it was asked for";
  const auto range = parse_content_range(response.header("content-range"));
  if (!range || range->first != asked->first || range->last >= asked->first + asked->count || range->total != size)
    return "another range than the one that was asked for";
  if (response.body.size() > range->last - range->first + 1) return "more bytes than it announced";
  return "";
}

}  // namespace d2c::hub
