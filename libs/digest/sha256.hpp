// SHA-256 of bytes and files, as lower-case hex.
#pragma once

#include "libs/digest/digest.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace d2c {

class Sha256 : public Digest {
 public:
  Sha256() : Digest(Algorithm::sha256) {}
};

[[nodiscard]] std::string sha256_of(std::string_view text);

/// Streams a file through; Error(input) where it cannot be read. `each_block` (may be empty) hears how many bytes were
/// just read and may throw to stop.
[[nodiscard]] std::string sha256_of_file(const std::string& path,
                                         const std::function<void(std::size_t)>& each_block = {});

}  // namespace d2c
