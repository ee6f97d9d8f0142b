// SHA-256 of bytes and files, as lower-case hex.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace d2c {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  /// 64 hex digits. The object cannot be used afterwards.
  [[nodiscard]] std::string finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

[[nodiscard]] std::string sha256_of(std::string_view text);

/// Streams a file through; Error(input) where it cannot be read. `each_block` (may be empty) hears how many bytes were
/// just read and may throw to stop.
[[nodiscard]] std::string sha256_of_file(const std::string& path,
                                         const std::function<void(std::size_t)>& each_block = {});

}  // namespace d2c
