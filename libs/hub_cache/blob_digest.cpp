#include "libs/hub_cache/blob_digest.hpp"

#include <algorithm>

namespace d2c::hub {
namespace {

constexpr std::size_t kGitDigits = 40;
constexpr std::size_t kSha256Digits = 64;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

bool is_commit(std::string_view text) { return text.size() == kGitDigits && is_hex(text); }

bool is_blob_name(std::string_view name) { return is_commit(name) || (name.size() == kSha256Digits && is_hex(name)); }

BlobDigest::BlobDigest(std::string_view name, std::uint64_t size)
    : digest_(name.size() == kGitDigits ? Digest::Algorithm::sha1 : Digest::Algorithm::sha256) {
  if (name.size() != kGitDigits) return;
  const std::string header = "blob " + std::to_string(size);
  digest_.update(std::string_view(header.c_str(), header.size() + 1));
}

}  // namespace d2c::hub
