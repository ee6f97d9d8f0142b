#include "host/platform/mapped_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace d2c::host {

#ifdef __linux__

namespace {

/// "7f00-7f10 r--p 00000000 08:01 42          /path": the path where the line is that of the address, else empty.
std::string_view data_file_at(std::string_view line, std::uintptr_t address) noexcept {
  std::uintptr_t first = 0, end = 0;
  const char* const stop = line.data() + line.size();
  const auto dash = std::from_chars(line.data(), stop, first, 16).ptr;
  if (dash == stop) return {};
  const auto rights = std::from_chars(dash + 1, stop, end, 16).ptr;
  if (address < first || address >= end || stop - rights < 5 || rights[3] == 'x') return {};
  const std::size_t path = line.find('/');
  return path == std::string_view::npos ? std::string_view() : line.substr(path);
}

}  // namespace

bool find_mapped_file(const void* address, std::span<char> path) noexcept {
  const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return false;
  char buffer[8192];
  std::size_t size = 0;
  std::string_view found;
  for (ssize_t n = 0; found.empty() && (n = read(maps, buffer + size, sizeof buffer - size)) > 0;) {
    size += static_cast<std::size_t>(n);
    std::size_t start = 0;
    while (found.empty()) {
      const void* newline = std::memchr(buffer + start, '\n', size - start);
      if (newline == nullptr) break;
      const auto length = static_cast<std::size_t>(static_cast<const char*>(newline) - (buffer + start));
      found = data_file_at({buffer + start, length}, reinterpret_cast<std::uintptr_t>(address));
      start += length + 1;
    }
    if (!found.empty()) break;
    std::memmove(buffer, buffer + start, size - start);
    size -= start;
  }
  close(maps);
  if (found.empty() || path.empty()) return false;
  const std::size_t length = found.copy(path.data(), path.size() - 1);
  path[length] = '\0';
  return true;
}

#else

bool find_mapped_file(const void* /*address*/, std::span<char> /*path*/) noexcept { return false; }

#endif

}  // namespace d2c::host
