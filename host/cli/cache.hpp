// `cache list`, `cache verify`, `cache prune`: what downloads have left in the cache that Hugging Face's tools share.
#pragma once

#include <string>

namespace d2c::host::cli {

struct Arguments;

struct CacheOptions {
  bool dry_run = false;
};

[[nodiscard]] std::string cache_list(const Arguments& arguments);
/// CheckFailed where a file is not what it should be.
[[nodiscard]] std::string cache_verify(const Arguments& arguments);
[[nodiscard]] std::string cache_prune(const Arguments& arguments);

}  // namespace d2c::host::cli
