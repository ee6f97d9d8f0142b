// The locked folder beside the output in which a package grows until one rename publishes it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace d2c::host {

/// `.<output name>.d2c/` beside the output, on its file system. While the object lives no other run can take the same
/// output. Whatever is left in the folder goes away with the object unless `keep` was called.
class Workspace {
 public:
  /// Errors: Error(usage) where the output exists and `force` is not given, its parent is missing, or it has no name;
  /// Error(resource) where the folder cannot be made or another run holds the lock.
  /// The folder is named in the log; with `keep` it stays in any case.
  Workspace(std::filesystem::path output, bool force, bool keep = false);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// Where the package is built.
  [[nodiscard]] std::filesystem::path package() const { return folder_ / "package"; }
  [[nodiscard]] std::filesystem::path journal() const { return folder_ / "journal"; }

  /// Makes the package's folder: empty, unless an earlier run's work in it is wanted. A journal without the files that it
  /// vouches for goes, too.
  void prepare(bool resume) const;

  /// Error(resource) where the output's file system has less than `bytes` free, beyond what the folder already holds.
  void require_space(std::uint64_t bytes) const;

  /// Moves the package into place: one rename (an exchange where an older output is replaced), parent made durable.
  /// Everything in the package must be durable already.
  void publish();

  /// Leaves the folder for a later run.
  void keep() noexcept { keep_ = true; }

  [[nodiscard]] static std::filesystem::path folder_of(const std::filesystem::path& output);

 private:
  std::filesystem::path output_;
  std::filesystem::path folder_;
  bool force_;
  int lock_ = -1;
  bool keep_ = false;
};

}  // namespace d2c::host
