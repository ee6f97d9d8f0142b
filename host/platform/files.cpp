#include "host/platform/files.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

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

timespec modification_time(const struct stat& info) {
#ifdef __APPLE__
  return info.st_mtimespec;
#else
  return info.st_mtim;
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
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

void sync_file(const fs::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int reason = errno;
  if (fd >= 0) close(fd);
  if (!synced) fail(Code::resource, file.string() + ": cannot be made durable: " + std::strerror(reason));
}

std::uint64_t allocated_bytes(const fs::path& file) {
  struct stat info {};
  return lstat(file.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_blocks) * 512 : 0;
}

std::string file_identity(const fs::path& file) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return {};
  const timespec time = modification_time(info);
  return std::to_string(info.st_size) + " " + std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec) + " " +
         std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

}  // namespace d2c::host
