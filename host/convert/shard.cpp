#include "host/convert/shard.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace d2c::host {
namespace {

constexpr unsigned kMostShards = 1024;

/// A whole number without sign; 0 where the text is none.
unsigned number_of(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

}  // namespace

bool Shard::valid() const noexcept { return number >= 1 && number <= count && count <= kMostShards; }

Shard Shard::parse(const std::string& text) {
  const auto slash = text.find('/');
  const std::string_view all = text;
  const Shard shard{number_of(all.substr(0, slash)), slash == std::string::npos ? 0 : number_of(all.substr(slash + 1))};
  if (!shard.valid())
    fail_usage("--shard " + text + ": expected K/N with 1 <= K <= N <= " + std::to_string(kMostShards));
  return shard;
}

std::filesystem::path Shard::part_of(const std::filesystem::path& package) const {
  const std::string name = std::filesystem::absolute(package).lexically_normal().string();
  return name.substr(0, name.find_last_not_of('/') + 1) + ".shard-" + std::to_string(number) + "-of-" +
         std::to_string(count);
}

std::vector<unsigned> share_out(std::span<const std::unique_ptr<PlannedWeight>> weights, unsigned count) {
  const auto elements = [&](std::size_t i) { return count_of(weights[i]->shape); };
  std::vector<std::size_t> by_size(weights.size());
  std::iota(by_size.begin(), by_size.end(), std::size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](std::size_t a, std::size_t b) { return elements(a) > elements(b); });
  std::vector<unsigned> shard(weights.size());
  std::vector<std::int64_t> load(count);
  for (const std::size_t i : by_size) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += elements(i);
    shard[i] = static_cast<unsigned>(least - load.begin()) + 1;
  }
  return shard;
}

}  // namespace d2c::host
