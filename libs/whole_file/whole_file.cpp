#include "libs/whole_file/whole_file.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

namespace d2c {
namespace {

class Descriptor {
 public:
  /// Does not wait for the other end of a FIFO, which is refused afterwards.
  explicit Descriptor(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail_read(const std::string& path) {
  fail_input(path + ": cannot be read: " + std::generic_category().message(errno));
}

}  // namespace

std::string read_whole_file(const std::string& path, std::uint64_t max_bytes) {
  const Descriptor file(path);
  struct stat info {};
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0) fail_read(path);
  if (!S_ISREG(info.st_mode)) fail_input(path + ": is not a regular file");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > max_bytes)
    fail_input(path + ": " + std::to_string(size) + " bytes are more than a file of this kind may have");
  std::string bytes(size, '\0');
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_read(path);
    if (n == 0) fail_input(path + ": became shorter while it was read; leave the file alone and start again");
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

}  // namespace d2c
