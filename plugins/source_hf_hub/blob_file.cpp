#include "plugins/source_hf_hub/blob_file.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace d2c::hub {
namespace {

constexpr std::uint64_t kReread = 16u << 20;

void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int error = descriptor >= 0 && fsync(descriptor) == 0 ? 0 : errno;
  if (descriptor >= 0) close(descriptor);
  // Some file systems refuse to sync folders, some folders may not be opened; nothing more can be done there.
  if (error != 0 && error != EINVAL && error != ENOTSUP && error != EACCES)
    fail(Code::resource, folder.string() + ": cannot be made durable: " + std::strerror(error));
}

}  // namespace

BlobFile::BlobFile(const Repository& repository, std::string name, std::uint64_t size)
    : path_(repository.incomplete(name)),
      published_(repository.blob(name)),
      name_(std::move(name)),
      size_(size),
      digest_(name_, size) {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  struct stat info {};
  if (descriptor_ < 0 || fstat(descriptor_, &info) != 0) fail_at("cannot be opened");
  found_ = static_cast<std::uint64_t>(info.st_size);
  if (found_ > size_) begin_anew();
}

BlobFile::~BlobFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool BlobFile::reread() {
  if (position_ == found_) return false;
  std::vector<std::byte> bytes(std::min(kReread, found_ - position_));
  ssize_t n = 0;
  do n = pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(position_));
  while (n < 0 && errno == EINTR);
  if (n == 0) fail(Code::resource, path_.string() + ": became shorter while it was read");
  if (n < 0) fail_at("cannot be read");
  digest_.update({bytes.data(), static_cast<std::size_t>(n)});
  position_ += static_cast<std::uint64_t>(n);
  return position_ < found_;
}

void BlobFile::append(std::span<const std::byte> bytes) {
  for (std::size_t written = 0; written < bytes.size();) {
    const ssize_t n =
        pwrite(descriptor_, bytes.data() + written, bytes.size() - written, static_cast<off_t>(position_ + written));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_at("cannot be written");
    written += static_cast<std::size_t>(n);
  }
  digest_.update(bytes);
  position_ += bytes.size();
}

bool BlobFile::publish() {
  if (digest_.finish() != name_) {
    begin_anew();
    return false;
  }
  if (fsync(descriptor_) != 0) fail_at("cannot be made durable");
  if (std::rename(path_.c_str(), published_.c_str()) != 0) fail_at("cannot be renamed");
  sync_folder(published_.parent_path());
  return true;
}

void BlobFile::begin_anew() {
  if (ftruncate(descriptor_, 0) != 0) fail_at("cannot be emptied");
  found_ = 0;
  position_ = 0;
  digest_ = BlobDigest(name_, size_);
}

void BlobFile::fail_at(const char* action) const {
  const int error = errno;
  std::string message = path_.string() + ": " + action + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT)
    message += "; " + std::to_string(size_ - position_) +
               " bytes of this file are missing. Free space, or point HF_HUB_CACHE to a larger disk, and run again";
  fail(Code::resource, message);
}

}  // namespace d2c::hub
