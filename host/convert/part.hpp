// What one shard made: a folder with the bytes of its weights and a record of what they are.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/convert/shard.hpp"
#include "host/executor/executor.hpp"

#include <d2c/value.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace d2c::host {

/// Where the weights of a shard lie in its file: one behind the other, in the order of the plan.
class PartLayout {
 public:
  PartLayout(const Assembly& assembly, const Shard& shard);

  /// The shard's weights, by their index in the plan.
  [[nodiscard]] const std::vector<std::size_t>& weights() const noexcept { return weights_; }
  [[nodiscard]] bool has(std::size_t weight) const { return starts_.at(weight) != kElsewhere; }
  [[nodiscard]] std::uint64_t offset(std::size_t weight, std::size_t plane) const;
  [[nodiscard]] std::uint64_t file_size() const noexcept { return size_; }

 private:
  static constexpr std::uint64_t kElsewhere = ~std::uint64_t{0};

  const Assembly& assembly_;
  std::vector<std::size_t> weights_;
  std::vector<std::uint64_t> starts_;  // of every weight of the plan
  std::uint64_t size_ = 0;
};

/// The record of a finished part: which shard, from which inputs, and for each weight its key, the digest of everything
/// that determines it on any machine, and what the report says about it.
struct PartRecord {
  struct Entry {
    std::string key, digest;
    Value note;
  };

  Shard shard;
  Value inputs;  ///< [{purpose, name, size, sha256}]
  std::vector<Entry> weights;

  void save(const std::filesystem::path& part) const;
  /// Error(input) where the folder holds no part that this release can read.
  static PartRecord load(const std::filesystem::path& part);
};

/// The file with the bytes of a part.
[[nodiscard]] std::filesystem::path part_file(const std::filesystem::path& part);

/// The parts that lie beside a package, sorted by name.
[[nodiscard]] std::vector<std::filesystem::path> find_parts(const std::filesystem::path& package);

/// Hands all bytes of a part on, window by window.
void copy_part(const std::filesystem::path& part, const PartLayout& layout, const Assembly& assembly,
               const WritePlane& write);

}  // namespace d2c::host
