#include "libs/quantizer_options/quantizer_options.hpp"

#include <algorithm>
#include <vector>

namespace d2c::quantizer_options {
namespace {

/// "1, 2, 4, 8": the divisors of `width` that can be group sizes, the largest few of many.
std::string divisors_of(std::int64_t width) {
  constexpr std::size_t kShown = 12;
  std::vector<std::string> found;
  for (std::int64_t d = std::min(width, std::int64_t{256}); d >= 1 && found.size() < kShown; --d)
    if (width % d == 0) found.push_back(std::to_string(d));
  std::string text;
  for (auto d = found.rbegin(); d != found.rend(); ++d) text += (text.empty() ? "" : ", ") + *d;
  return text;
}

}  // namespace

std::string choice(const Config& config, const char* key, std::initializer_list<const char*> allowed) {
  const std::string text = config.get_or(key, *allowed.begin());
  std::string list;
  for (const char* name : allowed) {
    if (text == name) return text;
    list += (list.empty() ? "" : ", ") + std::string(name);
  }
  fail_usage(std::string(key) + ": '" + text + "' is not one of " + list);
}

std::int64_t group_size(const Config& config, std::int64_t fallback) {
  constexpr std::int64_t kMost = 65536;
  const std::int64_t size = config.get_or("group_size", fallback);
  if (size < 1 || size > kMost)
    fail_usage("group_size: " + std::to_string(size) + " is not between 1 and " + std::to_string(kMost));
  return size;
}

void refuse(const WeightDesc& weight, const std::string& why) {
  fail_usage(weight.name + " " + to_string(weight.shape) + ": " + why);
}

void check_divides(const WeightDesc& weight, std::int64_t group_size, const std::string& columns) {
  const std::int64_t width = weight.shape[1];
  if (width % group_size == 0) return;
  refuse(weight, "group_size " + std::to_string(group_size) + " does not divide its " + std::to_string(width) + " " +
                     columns + "; " + divisors_of(width) + " would do");
}

}  // namespace d2c::quantizer_options
