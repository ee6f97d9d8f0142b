// Sharing a conversion between several runs, on one machine or many.
#pragma once

#include "host/planner/weight_table.hpp"

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

/// One of `count` runs, counted from 1.
struct Shard {
  unsigned number = 1;
  unsigned count = 1;

  [[nodiscard]] std::string text() const { return std::to_string(number) + "/" + std::to_string(count); }

  /// 1 <= number <= count, and not absurdly many.
  [[nodiscard]] bool valid() const noexcept;

  /// "2/4"; Error(usage) for anything else.
  static Shard parse(const std::string& text);

  /// Where the part of a package lies until it is assembled: "out.mlpackage.shard-2-of-4" beside it.
  [[nodiscard]] std::filesystem::path part_of(const std::filesystem::path& package) const;
};

/// For each weight the number of the shard that makes it: the largest first, always to the one with the least to do.
[[nodiscard]] std::vector<unsigned> share_out(std::span<const std::unique_ptr<PlannedWeight>> weights, unsigned count);

}  // namespace d2c::host
