#include "libs/safetensors/safetensors.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

namespace d2c::safetensors {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

/// Opens without waiting for the other end of a FIFO, which is refused afterwards.
int open_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail_input(path + ": cannot be opened: " + reason(errno));
  return fd;
}

std::uint64_t regular_file_size(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail_input(path + ": cannot be examined: " + reason(errno));
  if (!S_ISREG(status.st_mode)) fail_input(path + ": is not a regular file");
  return static_cast<std::uint64_t>(status.st_size);
}

/// Owns one mapping of whole pages.
class Mapping {
 public:
  Mapping(int fd, std::uint64_t offset, std::size_t size, const std::string& path) : size_(size) {
    data_ = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, static_cast<off_t>(offset));
    if (data_ == MAP_FAILED)
      fail(Code::resource, path + ": " + std::to_string(size) + " bytes cannot be mapped: " + reason(errno));
    ::madvise(data_, size, MADV_SEQUENTIAL);  // advice only: a refusal changes nothing
  }
  ~Mapping() { ::munmap(data_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] const std::byte* data() const noexcept { return static_cast<const std::byte*>(data_); }

 private:
  void* data_;
  std::size_t size_;
};

std::uint64_t page_size() {
  static const auto size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::uint64_t alignment_of(const Tensor& tensor) {
  return static_cast<std::uint64_t>(std::max(bits_of(tensor.dtype) / 8, 1));
}

}  // namespace

File::File(std::string path) : path_(std::move(path)), fd_(open_file(path_)) {
  try {
    size_ = regular_file_size(fd_, path_);
    std::array<std::byte, 8> length;
    const std::span start(length.data(), std::min<std::uint64_t>(length.size(), size_));
    read_at(0, start);
    std::vector<std::byte> bytes(header_size(start, size_, path_));
    read_at(0, bytes);
    header_ = parse_header(bytes, size_, path_);
    for (std::size_t i = 0; i < header_.tensors.size(); ++i) by_name_.emplace(header_.tensors[i].name, i);
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      header_(std::move(other.header_)),
      by_name_(std::move(other.by_name_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  std::swap(header_, other.header_);
  std::swap(by_name_, other.by_name_);
  return *this;
}

const Tensor* File::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &header_.tensors[found->second];
}

View File::map(const Tensor& tensor, std::uint64_t offset, std::uint64_t size) const {
  check_window(tensor, offset, size);
  if (size == 0) return {};
  const std::uint64_t position = tensor.offset + offset;
  if (position % alignment_of(tensor) != 0) {
    const std::shared_ptr<std::byte[]> copy(new std::byte[size]);
    read_at(position, {copy.get(), size});
    return {{copy.get(), size}, copy};
  }
  const std::uint64_t lead = position % page_size();
  auto mapping = std::make_shared<const Mapping>(fd_, position - lead, lead + size, path_);
  return {{mapping->data() + lead, size}, mapping};
}

void File::read(const Tensor& tensor, std::uint64_t offset, std::span<std::byte> out) const {
  check_window(tensor, offset, out.size());
  read_at(tensor.offset + offset, out);
}

void File::check_window(const Tensor& tensor, std::uint64_t offset, std::uint64_t size) const {
  if (offset > tensor.size || size > tensor.size - offset)
    fail(Code::plugin, path_ + ": tensor '" + tensor.name + "': bytes " + std::to_string(offset) + " to " +
                           std::to_string(offset + size) + " asked for, it has " + std::to_string(tensor.size));
  if (regular_file_size(fd_, path_) < size_)
    fail_input(path_ + ": became shorter while it was being read; leave the file alone and start again");
}

void File::read_at(std::uint64_t position, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(position));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_input(path_ + ": cannot be read: " + reason(errno));
    if (got == 0) fail_input(path_ + ": became shorter while it was being read; leave the file alone and start again");
    position += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace d2c::safetensors
