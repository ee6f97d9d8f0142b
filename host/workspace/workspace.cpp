#include "host/workspace/workspace.hpp"

#include "host/log/log.hpp"
#include "host/platform/files.hpp"

#include <d2c/error.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace d2c::host {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_system(const fs::path& path, const std::string& what) {
  fail(Code::resource, path.string() + ": " + what + ": " + std::strerror(errno));
}

std::uint64_t bytes_on_disk(const fs::path& folder) {
  std::uint64_t total = 0;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(folder, ignored)) total += allocated_bytes(entry.path());
  return total;
}

/// The lock file may have been removed, with its folder, by a run that ended between our open and our lock.
bool still_there(const fs::path& file, int lock) {
  struct stat on_disk {
  }, held{};
  return stat(file.c_str(), &on_disk) == 0 && fstat(lock, &held) == 0 && on_disk.st_ino == held.st_ino;
}

/// The locked file in `folder`, which is made where it is missing.
int take_lock(const fs::path& folder) {
  const fs::path file = folder / "lock";
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) fail_system(folder, "cannot create");
  const int lock = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) {
    const int reason = errno;
    rmdir(folder.c_str());  // only where it is empty
    errno = reason;
    fail_system(file, "cannot create");
  }
  if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
    if (still_there(file, lock)) return lock;
    close(lock);
    return take_lock(folder);
  }
  const int reason = errno;
  close(lock);
  errno = reason;
  if (reason == EWOULDBLOCK)
    fail(Code::resource, folder.string() + ": another run is writing this output; wait for it, or choose another -o");
  fail_system(file, "cannot lock");
}

}  // namespace

fs::path Workspace::folder_of(const fs::path& output) {
  return output.parent_path() / ("." + output.filename().string() + ".d2c");
}

Workspace::Workspace(fs::path output, bool force, bool keep) : force_(force), keep_(keep) {
  output_ = fs::absolute(output).lexically_normal();
  if (!output_.has_filename()) output_ = output_.parent_path();  // a trailing slash
  if (!output_.has_filename()) fail_usage("-o: '" + output.string() + "' names no file");
  std::error_code ignored;
  if (!fs::is_directory(output_.parent_path(), ignored))
    fail_usage(output_.parent_path().string() + ": no such directory; create it before writing " +
               output_.filename().string() + " there");
  if (!force_ && fs::exists(fs::symlink_status(output_, ignored)))
    fail_usage(output_.string() + " exists; pass --force to replace it");
  folder_ = folder_of(output_);
  lock_ = take_lock(folder_);
  log::write(keep ? log::Level::info : log::Level::debug,
             "temporary files are in " + folder_.string() + (keep ? " and stay there" : ""));
}

Workspace::~Workspace() {
  std::error_code ignored;
  // The lock file goes last and while still locked, so that no other run can slip into a folder that is being removed.
  if (!keep_) fs::remove_all(folder_, ignored);
  if (lock_ >= 0) close(lock_);
}

void Workspace::prepare(bool resume) const {
  if (!resume) fs::remove_all(package());
  if (fs::create_directory(package())) fs::remove(journal());
}

void Workspace::require_space(std::uint64_t bytes) const {
  std::error_code error;
  const fs::space_info space = fs::space(folder_, error);
  if (error) return;  // a file system that cannot say is judged by its writes
  const std::uint64_t held = bytes_on_disk(folder_);
  if (space.available + held >= bytes) return;
  fail(Code::resource, output_.parent_path().string() + ": " + std::to_string(bytes) + " bytes are needed, " +
                           std::to_string(space.available + held) + " are free; make room or choose another -o");
}

void Workspace::publish() {
  std::error_code ignored;
  const bool replaces = fs::exists(fs::symlink_status(output_, ignored));
  if (replaces && !force_) fail_usage(output_.string() + " has appeared meanwhile; pass --force to replace it");
  if (replaces ? !exchange(package(), output_) : std::rename(package().c_str(), output_.c_str()) != 0)
    fail_system(output_, "cannot move the finished package into place");
  try {
    sync_directory(output_.parent_path());
  } catch (const Error& e) {
    log::warn(std::string(e.what()) + "; the output is complete, but a power failure now might undo its last step");
  }
}

}  // namespace d2c::host
