#include "host/platform/positioned_file.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace d2c::host {
namespace {

/// Systems move at most 2 GB per call, some refuse more.
constexpr std::size_t kMaxStep = std::size_t{1} << 30;

}  // namespace

PositionedFile::PositionedFile(std::filesystem::path path, Access access)
    : path_(std::move(path)),
      access_(access),
      fd_(::open(path_.c_str(), (access == Access::read ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC, 0644)) {
  if (fd_ < 0) give_up("cannot be opened");
}

PositionedFile::~PositionedFile() { ::close(fd_); }

std::uint64_t PositionedFile::size() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) give_up("cannot be examined");
  return static_cast<std::uint64_t>(info.st_size);
}

void PositionedFile::resize(std::uint64_t size) const {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) give_up("cannot be resized");
}

void PositionedFile::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), std::min(bytes.size(), kMaxStep), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) give_up("cannot be written");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

void PositionedFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::pread(fd_, bytes.data(), std::min(bytes.size(), kMaxStep), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) give_up("cannot be read");
    if (n == 0) fail_input(path_.string() + ": ends before byte " + std::to_string(offset + bytes.size()));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

void PositionedFile::sync() const {
  if (::fsync(fd_) != 0) give_up("cannot be made durable");
}

#ifdef __APPLE__

void PositionedFile::will_need(std::uint64_t offset, std::uint64_t size) const noexcept {
  radvisory advice{static_cast<off_t>(offset), static_cast<int>(std::min<std::uint64_t>(size, kMaxStep))};
  ::fcntl(fd_, F_RDADVISE, &advice);
}

void PositionedFile::done_with(std::uint64_t /*offset*/, std::uint64_t /*size*/) const noexcept {}

#else

void PositionedFile::will_need(std::uint64_t offset, std::uint64_t size) const noexcept {
  ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
}

void PositionedFile::done_with(std::uint64_t offset, std::uint64_t size) const noexcept {
  ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_DONTNEED);
}

#endif

void PositionedFile::give_up(const char* what) const {
  fail(access_ == Access::read ? Code::input : Code::resource,
       path_.string() + ": " + what + ": " + std::strerror(errno));
}

}  // namespace d2c::host
