// Sizes as people type them.
#pragma once

#include <cstdint>
#include <string>

namespace d2c::host::cli {

/// "2G", "1.5GiB", "512M", "4096": powers of 1024 for K, M, G, T with or without "iB" or "B". Error(usage) otherwise.
[[nodiscard]] std::uint64_t parse_size(const std::string& text);

}  // namespace d2c::host::cli
