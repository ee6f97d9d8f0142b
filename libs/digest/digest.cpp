#include "libs/digest/digest.hpp"

#include <d2c/error.hpp>

#include <openssl/evp.h>

#include <array>

namespace d2c {

struct Digest::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(evp); }
};

Digest::Digest(Algorithm algorithm) : context_(std::make_unique<Context>()) {
  const bool sha1 = algorithm == Algorithm::sha1;
  if (context_->evp == nullptr || EVP_DigestInit_ex(context_->evp, sha1 ? EVP_sha1() : EVP_sha256(), nullptr) != 1)
    fail(Code::resource, std::string(sha1 ? "SHA-1" : "SHA-256") + " is not available");
}
Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::update(std::span<const std::byte> bytes) { EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()); }

std::string Digest::finish() {
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

}  // namespace d2c
