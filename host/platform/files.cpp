#include "host/platform/files.hpp"

#include "host/platform/positioned_file.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>

namespace d2c::host {
namespace fs = std::filesystem;
namespace {

bool swap_in_one_step(const fs::path& from, const fs::path& to) {
#ifdef __APPLE__
  return renamex_np(from.c_str(), to.c_str(), RENAME_SWAP) == 0;
#else
  return renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0;
#endif
}

std::string text_of(const timespec& time) { return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec); }

/// Of the contents, and of anything: the second cannot be set back, as copying tools do with the first.
std::string times_of(const struct stat& info) {
#ifdef __APPLE__
  return text_of(info.st_mtimespec) + " " + text_of(info.st_ctimespec);
#else
  return text_of(info.st_mtim) + " " + text_of(info.st_ctim);
#endif
}

}  // namespace

bool exchange(const fs::path& from, const fs::path& to) {
  if (swap_in_one_step(from, to)) return true;
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) return false;
  const fs::path aside = from.parent_path() / "replaced";
  if (std::rename(to.c_str(), aside.c_str()) != 0) return false;
  if (std::rename(from.c_str(), to.c_str()) == 0) return true;
  const int reason = errno;
  std::rename(aside.c_str(), to.c_str());
  errno = reason;
  return false;
}

void sync_directory(const fs::path& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int reason = fd >= 0 && fsync(fd) == 0 ? 0 : errno;
  if (fd >= 0) close(fd);
  if (reason != 0 && reason != EINVAL && reason != ENOTSUP && reason != EACCES)
    fail(Code::resource, directory.string() + ": cannot be made durable: " + std::strerror(reason));
}

void write_durably(const fs::path& file, std::string_view text) {
  const PositionedFile out(file, PositionedFile::Access::write);
  out.resize(text.size());
  out.write(0, std::as_bytes(std::span(text)));
  out.sync();
}

std::uint64_t allocated_bytes(const fs::path& file) {
  struct stat info {};
  return lstat(file.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_blocks) * 512 : 0;
}

std::string file_identity(const fs::path& file) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return {};
  return std::to_string(info.st_size) + " " + times_of(info) + " " + std::to_string(info.st_dev) + ":" +
         std::to_string(info.st_ino);
}

}  // namespace d2c::host
