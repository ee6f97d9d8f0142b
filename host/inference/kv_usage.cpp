#include "host/inference/kv_usage.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

bool holds_something(std::span<const std::byte> bytes) {
  return std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
}

/// Marks the tokens of which any layer or head holds something.
void mark(const CacheView& cache, std::vector<bool>& marks) {
  const auto rows = marks.size();
  const std::size_t row_bytes = cache.bytes.size() / static_cast<std::size_t>(cache.type.count()) *
                                static_cast<std::size_t>(cache.type.shape.back());
  const std::size_t blocks = cache.bytes.size() / (row_bytes * rows);
  for (std::size_t block = 0; block < blocks; ++block)
    for (std::size_t row = 0; row < rows; ++row)
      if (!marks[row] && holds_something(cache.bytes.subspan((block * rows + row) * row_bytes, row_bytes)))
        marks[row] = true;
}

}  // namespace

KvUsage measure_kv(std::span<const CacheView> caches, std::int64_t position) {
  KvUsage usage;
  usage.position = position;
  std::vector<bool> marks;
  for (const CacheView& cache : caches) {
    usage.allocated_bytes += static_cast<std::int64_t>(cache.bytes.size());
    marks.resize(static_cast<std::size_t>(cache.type.shape[cache.type.shape.size() - 2]), false);
    mark(cache, marks);
  }
  if (marks.empty()) return usage;
  usage.context = static_cast<std::int64_t>(marks.size());
  usage.bytes_per_token = usage.allocated_bytes / usage.context;
  usage.occupied = std::count(marks.begin(), marks.begin() + position, true);
  usage.stale = std::count(marks.begin() + position, marks.end(), true);
  return usage;
}

}  // namespace d2c::host
