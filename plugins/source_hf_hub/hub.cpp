#include "plugins/source_hf_hub/hub.hpp"

#include <d2c/error.hpp>

#include <cctype>
#include <utility>

namespace d2c::hub {
namespace {

constexpr std::uint64_t kMaxListing = 64u << 20;

/// One part of a path, or several where '/' is to stay.
std::string escaped(const std::string& text, bool keep_slashes) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~' || (c == '/' && keep_slashes)) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace

Hub::Hub(const Settings& settings, Transfers& transfers, std::string id)
    : settings_(settings), transfers_(transfers), id_(std::move(id)) {}

std::string Hub::place() const { return id_ + " on " + host_of(settings_); }

std::string Hub::url_of(const std::string& commit, const std::string& file) const {
  return settings_.endpoint + "/" + id_ + "/resolve/" + escaped(commit, false) + "/" + escaped(file, true);
}

Revision Hub::revision(const std::string& name) {
  const std::string what = title_of("revision '" + name + "'");
  Revision revision;
  const auto request = [&] {
    return Request{
        settings_.endpoint + "/api/models/" + id_ + "/revision/" + escaped(name, false), false, {}, kMaxListing};
  };
  const auto answer = [&](Response& response) -> Verdict {
    if (std::string trouble = passing_trouble(response); !trouble.empty()) return {std::move(trouble)};
    if (response.status != 200) refuse(response, what);
    revision = parse_revision(response.body, what);
    return {};
  };
  transfers_.add({what, request, answer});
  transfers_.run();
  return revision;
}

std::vector<RemoteFile> Hub::describe(const std::string& commit, const std::vector<std::string>& files) {
  std::vector<RemoteFile> found(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string what = title_of(files[i]);
    const auto request = [this, &commit, &file = files[i]] { return Request{url_of(commit, file), true, {}, 0}; };
    const auto answer = [this, &commit, &file = files[i], &out = found[i], what](Response& response) -> Verdict {
      if (std::string trouble = passing_trouble(response); !trouble.empty()) return {std::move(trouble)};
      // Elsewhere is where the bytes are; what they are was said here.
      if (response.status != 200 && response.status / 100 != 3) refuse(response, what);
      out = parse_file(response, file, commit, what);
      return {};
    };
    transfers_.add({what, request, answer});
  }
  transfers_.run();
  return found;
}

void Hub::refuse(const Response& response, const std::string& what) const {
  const std::string code = response.header("x-error-code");
  const std::string page = settings_.endpoint + "/" + id_;
  const bool token = !settings_.token.empty();
  const std::string login = token ? "the account whose token is in " + settings_.token_origin
                                  : "your account, then put an access token of it (made at " + settings_.endpoint +
                                        "/settings/tokens) into HF_TOKEN or " + settings_.token_origin;
  if (code == "GatedRepo" || (response.status == 403 && code.empty()))
    fail_input(what + ": access is granted by request (HTTP " + std::to_string(response.status) +
               "): accept the terms at " + page + " with " + login);
  if (code == "RevisionNotFound") fail_input(what + ": there is no such branch, tag or commit; see " + page);
  if (code == "EntryNotFound") fail_input(what + ": there is no such file; see " + page);
  if (response.status == 401)
    fail_input(what + ": refused (HTTP 401): there is no such model, or it is private" +
               (token ? ", or the token in " + settings_.token_origin + " is not valid; see " + page
                      : "; check the name, or log in with " + login));
  if (response.status == 404) fail_input(what + ": there is no such model; see " + page);
  fail(Code::network, what + ": unexpected answer (HTTP " + std::to_string(response.status) + ")");
}

}  // namespace d2c::hub
