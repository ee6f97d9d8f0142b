#include "libs/hub_cache/repository.hpp"

#include "libs/hub_cache/blob_digest.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

namespace d2c::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxName = 96;
constexpr std::size_t kMaxFileName = 255;
constexpr const char* kWhole = "dolphin2coreml";

bool is_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  return !name.empty() && name.size() <= kMaxName && name.front() != '.' && name.front() != '-' && name.back() != '.' &&
         name.find("--") == std::string_view::npos && name.find("..") == std::string_view::npos &&
         std::all_of(name.begin(), name.end(), allowed);
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

[[noreturn]] void fail_at(const fs::path& path, const std::error_code& error) {
  fail(Code::resource, path.string() + ": " + error.message() +
                           "; the cache of downloaded models needs a folder that can be written, set HF_HUB_CACHE");
}

void create_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_at(path, error);
}

/// Names that a reader of the cache passes over.
fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / ("." + path.filename().string() + "." + std::to_string(getpid()));
}

void rename_into_place(const fs::path& from, const fs::path& to) {
  std::error_code error, ignored;
  fs::rename(from, to, error);
  if (!error) return;
  fs::remove(from, ignored);
  fail_at(to, error);
}

}  // namespace

bool is_repository_id(std::string_view id) {
  const std::size_t slash = id.find('/');
  return slash != std::string_view::npos && is_name(id.substr(0, slash)) && is_name(id.substr(slash + 1));
}

bool is_revision(std::string_view revision) {
  if (revision.empty() || revision.size() > kMaxFileName || !is_printable(revision)) return false;
  const fs::path path(revision);
  return path.is_relative() && path.has_filename() && std::none_of(path.begin(), path.end(), [](const fs::path& part) {
           return part.empty() || part == "." || part == "..";
         });
}

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxFileName && name != "." && name != ".." && is_printable(name) &&
         name.find_first_of("/\\") == std::string_view::npos;
}

Lock::Lock(Lock&& o) noexcept : descriptor_(std::exchange(o.descriptor_, -1)) {}
Lock& Lock::operator=(Lock&& o) noexcept {
  std::swap(descriptor_, o.descriptor_);
  return *this;
}
Lock::~Lock() {
  if (descriptor_ >= 0) close(descriptor_);
}

Repository::Repository(fs::path cache, const std::string& id) : cache_(std::move(cache)) {
  std::string name = "models--" + id;
  name.replace(name.find('/'), 1, "--");
  folder_ = cache_ / name;
}

bool Repository::has(const std::string& commit, const std::string& file) const {
  std::error_code ignored;
  return fs::is_regular_file(snapshot(commit) / file, ignored);
}

std::optional<std::string> Repository::commit_of(const std::string& revision) const {
  if (is_commit(revision)) return revision;
  std::ifstream file(folder_ / "refs" / revision);
  std::string commit;
  if (!(file >> commit) || !is_commit(commit)) return std::nullopt;
  return commit;
}

void Repository::create(const std::string& commit) const {
  create_folders(folder_ / "blobs");
  create_folders(snapshot(commit));
}

Lock Repository::open_lock(const std::string& name) const {
  const fs::path path = cache_ / ".locks" / folder_.filename() / (name + ".lock");
  create_folders(path.parent_path());
  Lock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.descriptor_ < 0) fail_at(path, {errno, std::generic_category()});
  return lock;
}

std::optional<Lock> Repository::try_lock(const std::string& blob) const {
  Lock lock = open_lock(blob);
  if (flock(lock.descriptor_, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) fail_at(folder_, {errno, std::generic_category()});
  return std::nullopt;
}

Lock Repository::lock_shared() const {
  Lock lock = open_lock(kWhole);
  if (flock(lock.descriptor_, LOCK_SH) != 0) fail_at(folder_, {errno, std::generic_category()});
  return lock;
}

std::optional<Lock> Repository::try_lock_whole() const { return try_lock(kWhole); }

void Repository::link(const std::string& commit, const std::string& file, const std::string& blob) const {
  const fs::path path = snapshot(commit) / file;
  const fs::path temporary = temporary_beside(path);
  std::error_code error;
  fs::remove(temporary, error);
  fs::create_symlink(fs::path("../../blobs") / blob, temporary, error);
  if (error) fail_at(path, error);
  rename_into_place(temporary, path);
}

void Repository::set_ref(const std::string& revision, const std::string& commit) const {
  if (commit_of(revision) == commit) return;
  const fs::path path = folder_ / "refs" / revision;
  create_folders(path.parent_path());
  const fs::path temporary = temporary_beside(path);
  std::ofstream out(temporary, std::ios::binary);
  out << commit;
  out.close();
  if (!out) {
    const std::error_code error(errno, std::generic_category());
    std::error_code ignored;
    fs::remove(temporary, ignored);
    fail_at(temporary, error);
  }
  rename_into_place(temporary, path);
}

}  // namespace d2c::hub
