// A blob on its way to disk: bytes written first to last, digested as they go, renamed into the cache once complete.
#pragma once

#include "libs/hub_cache/blob_digest.hpp"
#include "libs/hub_cache/repository.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace d2c::hub {

/// What is on disk is always a prefix of the blob, so that any tool can go on from it, after a power cut too.
class BlobFile {
 public:
  /// Opens DIGEST.incomplete, which may hold what an earlier attempt brought. The blob's lock must be held.
  BlobFile(const Repository& repository, std::string name, std::uint64_t size);
  ~BlobFile();
  BlobFile(const BlobFile&) = delete;
  BlobFile& operator=(const BlobFile&) = delete;

  /// Bytes that are on disk and in the digest.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  /// Takes some more of what an earlier attempt brought into the digest; false once there is no more of it.
  bool reread();
  void append(std::span<const std::byte> bytes);
  /// Makes the blob durable under its own name. False where its bytes are not those its name promises: then the file
  /// is empty again.
  [[nodiscard]] bool publish();

 private:
  void begin_anew();
  [[noreturn]] void fail_at(const char* action) const;

  std::filesystem::path path_;
  std::filesystem::path published_;
  std::string name_;
  std::uint64_t size_;
  int descriptor_ = -1;
  std::uint64_t found_ = 0;
  std::uint64_t position_ = 0;
  BlobDigest digest_;
};

}  // namespace d2c::hub
