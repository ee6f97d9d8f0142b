// What the cache holds, whether it is intact, and what in it nobody needs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace d2c::hub {

struct CachedSnapshot {
  std::string commit;
  std::vector<std::string> refs;  ///< revisions that were this commit when last asked for
  std::vector<std::string> files;
  std::uint64_t bytes = 0;
  std::vector<std::string> broken;  ///< files whose blob is missing
};

struct CachedBlob {
  std::string name;
  std::uint64_t bytes = 0;
  bool incomplete = false;
  std::vector<std::string> files;  ///< "COMMIT/FILE" that are links to it
};

struct CachedModel {
  std::string id;  ///< "ORG/NAME"
  std::filesystem::path folder;
  std::uint64_t bytes = 0;  ///< of all blobs
  std::vector<CachedSnapshot> snapshots;
  std::vector<CachedBlob> blobs;
};

/// Models in the cache, sorted; what is no model's folder is passed over. Error(input) where it cannot be read.
[[nodiscard]] std::vector<CachedModel> read_cache(const std::filesystem::path& cache);

struct Damage {
  std::filesystem::path path;
  std::string what;
};

/// Reads every blob of a model and compares it with its name; links without a blob are damage too. `each_block` hears
/// how many bytes were just read and may throw to stop.
[[nodiscard]] std::vector<Damage> verify(const CachedModel& model,
                                         const std::function<void(std::uint64_t)>& each_block);

struct Garbage {
  std::filesystem::path path;
  std::string why;
  std::uint64_t bytes = 0;
};

/// Removes (or, where `dry_run`, only lists) what no revision by name leads to: interrupted downloads, snapshots without
/// a ref, blobs that only those use. What somebody writes at this moment stays. Nothing where the model is being fetched.
[[nodiscard]] std::optional<std::vector<Garbage>> prune(const std::filesystem::path& cache, const std::string& id,
                                                        bool dry_run);

}  // namespace d2c::hub
