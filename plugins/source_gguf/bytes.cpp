#include "plugins/source_gguf/bytes.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace d2c::source_gguf {
namespace {

/// Some systems refuse reads of 2 GiB and more.
constexpr std::size_t kMaxRead = std::size_t{1} << 30;

[[noreturn]] void fail_errno(const std::string& name, int error) {
  fail_input(name + ": cannot be read: " + std::generic_category().message(error));
}

}  // namespace

void ByteSource::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset) {
    fail_input(name_ + ": ends at byte " + std::to_string(size_) + ", before byte " + std::to_string(offset) + " + " +
               std::to_string(out.size()) + "; the file is truncated");
  }
  if (!out.empty()) read_within(offset, out);
}

FileBytes::FileBytes(const std::string& path)
    : ByteSource(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail_errno(path, errno);
  struct stat status {};
  const int error = ::fstat(descriptor_, &status) == 0 ? 0 : errno;
  if (error == 0 && S_ISREG(status.st_mode)) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    return;
  }
  ::close(descriptor_);
  if (error != 0) fail_errno(path, error);
  fail_input(path + ": is not a file");
}

FileBytes::~FileBytes() { ::close(descriptor_); }

void FileBytes::read_within(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(descriptor_, out.data(), std::min(out.size(), kMaxRead), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(name_, errno);
    if (n == 0) fail_input(name_ + ": became shorter while it was read");
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

void MemoryBytes::read_within(std::uint64_t offset, std::span<std::byte> out) const {
  std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
}

}  // namespace d2c::source_gguf
