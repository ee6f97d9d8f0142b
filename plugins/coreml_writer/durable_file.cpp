#include "plugins/coreml_writer/durable_file.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace d2c::coreml_writer {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_io(const fs::path& path, const char* what, int error) {
  fail(Code::resource, path.string() + ": " + what + ": " + std::system_category().message(error));
}

[[noreturn]] void fail_space(const fs::path& path, std::uint64_t size) {
  std::error_code error;
  const fs::space_info space = fs::space(path.parent_path(), error);
  fail(Code::resource, path.string() + ": needs " + std::to_string(size) + " bytes of disk space" +
                           (error ? std::string() : ", " + std::to_string(space.available) + " are free") +
                           "; free some or write to another disk");
}

/// An errno, or 0.
int allocate(int descriptor, off_t size) {
#if defined(__APPLE__)
  fstore_t store{F_ALLOCATEALL, F_PEOFPOSMODE, 0, size, 0};
  return fcntl(descriptor, F_PREALLOCATE, &store) == 0 ? 0 : errno;
#else
  int error = 0;
  do error = posix_fallocate(descriptor, 0, size);
  while (error == EINTR);
  return error;
#endif
}

bool is_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

int open_or_fail(const fs::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_io(path, "cannot be opened", errno);
  return descriptor;
}

}  // namespace

DurableFile DurableFile::open(const fs::path& path) { return {open_or_fail(path, O_RDWR | O_CREAT), path}; }

DurableFile::DurableFile(DurableFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

DurableFile& DurableFile::operator=(DurableFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

DurableFile::~DurableFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void DurableFile::reserve(std::uint64_t size) {
  const auto length = static_cast<off_t>(size);
  const int error = length > 0 ? allocate(descriptor_, length) : 0;
  if (is_full(error)) fail_space(path_, size);
  // Any other error means that the file system cannot reserve; then a full disk shows while writing.
  if (::ftruncate(descriptor_, length) != 0) {
    if (is_full(errno)) fail_space(path_, size);
    fail_io(path_, "cannot be resized", errno);
  }
}

void DurableFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  // Linux moves at most 2 GiB - 4 KiB per call, macOS refuses more than 2 GiB - 1.
  constexpr std::size_t kMaxStep = std::size_t{1} << 30;
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data(), std::min(bytes.size(), kMaxStep), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && is_full(errno)) fail_space(path_, bytes.size());
    if (n <= 0) fail_io(path_, "cannot be written", n < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

void DurableFile::sync() const {
  if (::fsync(descriptor_) != 0) fail_io(path_, "cannot be synced", errno);
}

void write_durably(const fs::path& path, std::string_view bytes) {
  DurableFile file = DurableFile::open(path);
  file.reserve(bytes.size());
  file.write_at(0, std::as_bytes(std::span(bytes)));
  file.sync();
}

void sync_directory(const fs::path& path) {
  const int descriptor = open_or_fail(path, O_RDONLY | O_DIRECTORY);
  // Some network file systems cannot sync a folder and say EINVAL; nothing more can be done there.
  const int error = ::fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno;
  ::close(descriptor);
  if (error != 0) fail_io(path, "cannot be synced", error);
}

}  // namespace d2c::coreml_writer
