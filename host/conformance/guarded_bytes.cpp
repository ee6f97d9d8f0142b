#include "host/conformance/guarded_bytes.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace d2c::host::conformance {
namespace {

constexpr std::byte kWatched{0xa5};
constexpr std::size_t kAlignment = 16;

std::size_t round_up(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }
std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

GuardedBytes::GuardedBytes(std::size_t size, std::byte fill) {
  const std::size_t taken = round_up(size, kAlignment), usable = round_up(taken + kAlignment, page_size());
  void* start = mmap(nullptr, usable + page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (start == MAP_FAILED) throw std::bad_alloc();
  mapping_ = {static_cast<std::byte*>(start), usable};
  if (mprotect(mapping_.data() + usable, page_size(), PROT_NONE) != 0) throw std::bad_alloc();
  std::fill(mapping_.begin(), mapping_.end(), kWatched);
  bytes_ = mapping_.subspan(usable - taken, size);
  std::fill(bytes_.begin(), bytes_.end(), fill);
}

GuardedBytes::~GuardedBytes() { munmap(mapping_.data(), mapping_.size() + page_size()); }

bool GuardedBytes::intact() const noexcept {
  const auto is_watched = [](std::byte b) { return b == kWatched; };
  const auto before = mapping_.first(static_cast<std::size_t>(bytes_.data() - mapping_.data()));
  const auto behind = mapping_.subspan(before.size() + bytes_.size());
  return std::all_of(before.begin(), before.end(), is_watched) && std::all_of(behind.begin(), behind.end(), is_watched);
}

}  // namespace d2c::host::conformance
