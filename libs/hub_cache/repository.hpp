// One model's folder in the cache that Hugging Face's tools share:
//
//     models--ORG--NAME/refs/main                     the commit that "main" was
//     models--ORG--NAME/snapshots/COMMIT/config.json  -> ../../blobs/DIGEST
//     models--ORG--NAME/blobs/DIGEST                  DIGEST.incomplete while its bytes arrive, first to last
//     .locks/models--ORG--NAME/DIGEST.lock            held by whoever writes the blob
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace d2c::hub {

/// "ORG/NAME" of the characters that the hub allows in names.
[[nodiscard]] bool is_repository_id(std::string_view id);

/// A branch, tag or commit that is safe as a path below refs/: relative, no "..", no control characters.
[[nodiscard]] bool is_revision(std::string_view revision);

/// The name of a file in the repository's top folder.
[[nodiscard]] bool is_plain_file_name(std::string_view name);

/// A file's lock, given back with the object, or when the process ends however it does.
class Lock {
 public:
  Lock(Lock&& o) noexcept;
  Lock& operator=(Lock&& o) noexcept;
  ~Lock();

 private:
  friend class Repository;
  explicit Lock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

/// Paths and changes; nothing is kept between calls. Errors are Error(resource) with path and reason.
class Repository {
 public:
  /// `id` is a repository id.
  Repository(std::filesystem::path cache, const std::string& id);

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] std::filesystem::path blob(const std::string& name) const { return folder_ / "blobs" / name; }
  [[nodiscard]] std::filesystem::path incomplete(const std::string& name) const {
    return folder_ / "blobs" / (name + ".incomplete");
  }
  [[nodiscard]] std::filesystem::path snapshot(const std::string& commit) const {
    return folder_ / "snapshots" / commit;
  }

  /// The snapshot has this file, and the file is there.
  [[nodiscard]] bool has(const std::string& commit, const std::string& file) const;
  /// What a revision was when it was last asked for; a commit is itself. Nothing where it was never asked for.
  [[nodiscard]] std::optional<std::string> commit_of(const std::string& revision) const;

  /// Makes the folders a download writes to.
  void create(const std::string& commit) const;
  /// For whoever writes or removes a blob; other tools know this lock too. Nothing where somebody else holds it.
  [[nodiscard]] std::optional<Lock> try_lock(const std::string& blob) const;
  /// For those who rely on blobs that no ref leads to yet: held by any number at a time, waits for a removal to end.
  [[nodiscard]] Lock lock_shared() const;
  /// For whoever removes such blobs. Nothing while anybody relies on them.
  [[nodiscard]] std::optional<Lock> try_lock_whole() const;
  /// Gives the snapshot a file: a link to the blob, in place of whatever has that name.
  void link(const std::string& commit, const std::string& file, const std::string& blob) const;
  void set_ref(const std::string& revision, const std::string& commit) const;

 private:
  [[nodiscard]] Lock open_lock(const std::string& name) const;

  std::filesystem::path cache_;
  std::filesystem::path folder_;
};

}  // namespace d2c::hub
