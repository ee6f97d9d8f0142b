// Sizes as people write and read them.
#pragma once

#include <cstdint>
#include <string>

namespace d2c::host::cli {

/// "2G", "1.5GiB", "512M", "4096": powers of 1024 for K, M, G, T with or without "iB" or "B". Error(usage) otherwise.
[[nodiscard]] std::uint64_t parse_size(const std::string& text);

/// "68.2 MB": powers of 1000, as disks and downloads count.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

}  // namespace d2c::host::cli
