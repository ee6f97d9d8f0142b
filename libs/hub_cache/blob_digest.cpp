#include "libs/hub_cache/blob_digest.hpp"

#include <d2c/error.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <array>

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

struct BlobDigest::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(evp); }
};

BlobDigest::BlobDigest(std::string name, std::uint64_t size) : context_(std::make_unique<Context>()) {
  const bool git = name.size() == kGitDigits;
  if (context_->evp == nullptr || EVP_DigestInit_ex(context_->evp, git ? EVP_sha1() : EVP_sha256(), nullptr) != 1)
    fail(Code::resource, std::string(git ? "SHA-1" : "SHA-256") + " is not available");
  if (!git) return;
  const std::string header = "blob " + std::to_string(size);
  update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
}
BlobDigest::~BlobDigest() = default;
BlobDigest::BlobDigest(BlobDigest&&) noexcept = default;
BlobDigest& BlobDigest::operator=(BlobDigest&&) noexcept = default;

void BlobDigest::update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size());
}

std::string BlobDigest::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context_->evp, raw.data(), &size);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += kHex[raw[i] >> 4];
    hex += kHex[raw[i] & 15];
  }
  return hex;
}

}  // namespace d2c::hub
