// Hashes an input file in steps that keep pace with the conversion, and so read ahead of it.
#pragma once

#include "host/executor/weight_stream.hpp"
#include "host/platform/positioned_file.hpp"
#include "libs/digest/sha256.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace d2c::host {

class InputDigest {
 public:
  /// `drop_behind`: give the page cache back what lies far behind, for inputs that it cannot hold.
  InputDigest(std::filesystem::path path, std::uint64_t size, bool drop_behind)
      : path_(std::move(path)), size_(size), drop_behind_(drop_behind) {}

  /// One at least.
  [[nodiscard]] std::size_t steps() const noexcept;
  /// Must be called `steps` times, by one thread at a time.
  void step(StageTimes& times);
  /// Of the whole file, after the last step.
  [[nodiscard]] const std::string& sha256() const noexcept { return sha256_; }

 private:
  std::filesystem::path path_;
  std::uint64_t size_;
  bool drop_behind_;
  std::uint64_t position_ = 0;
  std::unique_ptr<PositionedFile> file_;  // while there is something to read
  Sha256 hash_;
  std::string sha256_;
};

}  // namespace d2c::host
