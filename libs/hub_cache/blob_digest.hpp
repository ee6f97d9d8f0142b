// Checks a blob's bytes against its name in the cache, which is a digest of them.
#pragma once

#include "libs/digest/digest.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace d2c::hub {

/// 40 hex digits (git's SHA-1 of a small file) or 64 (SHA-256 of a large one), in lower case.
[[nodiscard]] bool is_blob_name(std::string_view name);

/// 40 hex digits in lower case.
[[nodiscard]] bool is_commit(std::string_view text);

class BlobDigest {
 public:
  /// The algorithm follows from the name. Git's digest covers the size, so it has to be known before the bytes.
  BlobDigest(std::string_view name, std::uint64_t size);

  void update(std::span<const std::byte> bytes) { digest_.update(bytes); }
  /// The name that the bytes so far deserve. The object cannot be used afterwards.
  [[nodiscard]] std::string finish() { return digest_.finish(); }

 private:
  Digest digest_;
};

}  // namespace d2c::hub
