#include "host/platform/process.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define D2C_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define D2C_SANITIZED
#endif
#endif

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#include <mach/mach.h>
#include <malloc/malloc.h>
#elif defined(__GLIBC__)
#include <malloc.h>
#endif

namespace d2c::host {

std::uint64_t physical_memory() noexcept {
  const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size) : 0;
}

int open_files() noexcept {
  constexpr int kDescriptors = 1000;
  int open = 0;
  for (int descriptor = 0; descriptor < kDescriptors; ++descriptor) open += fcntl(descriptor, F_GETFD) != -1;
  return open;
}

#ifdef __APPLE__

std::uint64_t heap_in_use() noexcept {
  malloc_statistics_t statistics{};
  malloc_zone_statistics(nullptr, &statistics);
  return statistics.size_in_use;
}

std::filesystem::path program_file() {
  std::uint32_t size = 0;
  _NSGetExecutablePath(nullptr, &size);
  std::string path(size, '\0');
  if (_NSGetExecutablePath(path.data(), &size) != 0) return {};
  std::error_code ignored;
  return std::filesystem::canonical(path.c_str(), ignored);
}

std::uint64_t resident_memory() noexcept {
  mach_task_basic_info info{};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  const kern_return_t code =
      task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count);
  return code == KERN_SUCCESS ? info.resident_size : 0;
}

std::uint64_t peak_resident_memory() noexcept {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss);
}

std::uint64_t bytes_read() noexcept { return 0; }

#else

std::uint64_t heap_in_use() noexcept {
  // A sanitizer brings an allocator of its own, which does not tell.
#if defined(__GLIBC__) && !defined(D2C_SANITIZED)
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

std::filesystem::path program_file() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored);
}

std::uint64_t resident_memory() noexcept {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long total = 0;
  unsigned long long resident = 0;
  const int fields = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return fields == 2 ? resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

/// Not ru_maxrss, which counts the program that started this one, too.
std::uint64_t peak_resident_memory() noexcept {
  std::FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return 0;
  unsigned long long kilobytes = 0;
  char line[256];
  while (std::fgets(line, sizeof line, file) != nullptr && std::sscanf(line, "VmHWM: %llu", &kilobytes) != 1) {
  }
  std::fclose(file);
  return kilobytes * 1024;
}

std::uint64_t bytes_read() noexcept {
  std::FILE* file = std::fopen("/proc/self/io", "re");
  if (file == nullptr) return 0;
  unsigned long long bytes = 0;
  const int fields = std::fscanf(file, "rchar: %llu", &bytes);
  std::fclose(file);
  return fields == 1 ? bytes : 0;
}

#endif

}  // namespace d2c::host
