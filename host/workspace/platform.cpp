#include "host/workspace/platform.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>

#if defined(__APPLE__)
#include <mach/mach.h>
#endif

namespace d2c::host::platform {
namespace fs = std::filesystem;
namespace {

#if defined(__linux__)
/// The number behind "key:" in one of the kernel's text files.
std::uint64_t proc_number(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key)) return std::stoull(line.substr(key.size()));
  return 0;
}
#endif

bool swap_in_one_step(const fs::path& from, const fs::path& to) {
#if defined(__linux__)
  return renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0;
#elif defined(__APPLE__)
  return renamex_np(from.c_str(), to.c_str(), RENAME_SWAP) == 0;
#else
  errno = ENOSYS;
  return false;
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

std::uint64_t allocated_bytes(const fs::path& file) {
  struct stat info {};
  return lstat(file.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_blocks) * 512 : 0;
}

std::uint64_t resident_bytes() {
#if defined(__linux__)
  return proc_number("/proc/self/status", "VmRSS:") * 1024;
#elif defined(__APPLE__)
  mach_task_basic_info info{};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  const auto result = task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count);
  return result == KERN_SUCCESS ? info.resident_size : 0;
#else
  return 0;
#endif
}

std::uint64_t peak_resident_bytes() {
#if defined(__linux__)
  return proc_number("/proc/self/status", "VmHWM:") * 1024;
#else
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss);
#endif
}

std::uint64_t bytes_read() {
#if defined(__linux__)
  return proc_number("/proc/self/io", "rchar:");
#else
  return 0;
#endif
}

}  // namespace d2c::host::platform
