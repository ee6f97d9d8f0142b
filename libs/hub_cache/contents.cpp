#include "libs/hub_cache/contents.hpp"

#include "libs/hub_cache/blob_digest.hpp"
#include "libs/hub_cache/repository.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

namespace d2c::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "models--";
constexpr std::string_view kIncomplete = ".incomplete";
constexpr std::size_t kBlock = 1u << 20;

/// Entries of a folder by name; a missing folder has none.
std::vector<fs::path> entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> paths;
  fs::directory_iterator it(folder, error);
  if (error == std::errc::no_such_file_or_directory) return paths;
  for (; !error && it != fs::directory_iterator(); it.increment(error)) paths.push_back(it->path());
  if (error) fail_input(folder.string() + ": " + error.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// Empty where the folder's name is that of no model.
std::string id_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kPrefix)) return {};
  std::string id = name.substr(kPrefix.size());
  const std::size_t separator = id.find("--");
  if (separator == std::string::npos) return {};
  id.replace(separator, 2, "/");
  return is_repository_id(id) ? id : std::string();
}

std::uint64_t size_of(const fs::path& file) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  return error ? 0 : size;
}

std::vector<CachedBlob> read_blobs(const fs::path& folder) {
  std::vector<CachedBlob> blobs;
  for (const fs::path& path : entries(folder / "blobs")) {
    std::string name = path.filename().string();
    const bool incomplete = name.ends_with(kIncomplete);
    std::error_code ignored;
    if ((!incomplete && !is_blob_name(name)) || !fs::is_regular_file(fs::symlink_status(path, ignored))) continue;
    blobs.push_back({std::move(name), size_of(path), incomplete, {}});
  }
  return blobs;
}

/// The blob's name where the file is a link to one, as far as the link's text tells.
std::string blob_of(const fs::path& file) {
  std::error_code error;
  const fs::path target = fs::read_symlink(file, error);
  return error || target.parent_path().filename() != "blobs" ? std::string() : target.filename().string();
}

void add_file(CachedModel& model, CachedSnapshot& snapshot, const fs::path& file) {
  const std::string name = file.lexically_relative(model.folder / "snapshots" / snapshot.commit).string();
  snapshot.files.push_back(name);
  std::error_code ignored;
  if (!fs::exists(file, ignored)) snapshot.broken.push_back(name);
  else snapshot.bytes += size_of(file);
  const std::string blob = blob_of(file);
  const auto it =
      std::find_if(model.blobs.begin(), model.blobs.end(), [&](const CachedBlob& b) { return b.name == blob; });
  if (it != model.blobs.end()) it->files.push_back(snapshot.commit + "/" + name);
}

void add_folder(CachedModel& model, CachedSnapshot& snapshot, const fs::path& folder) {
  for (const fs::path& path : entries(folder)) {
    std::error_code ignored;
    if (fs::is_directory(fs::symlink_status(path, ignored))) add_folder(model, snapshot, path);
    else add_file(model, snapshot, path);
  }
}

/// Revisions can be several names deep: refs/pr/1.
void collect_refs(const fs::path& refs, const fs::path& folder, std::vector<std::string>& names) {
  for (const fs::path& path : entries(folder)) {
    std::error_code ignored;
    if (fs::is_directory(fs::symlink_status(path, ignored))) collect_refs(refs, path, names);
    else names.push_back(path.lexically_relative(refs).string());
  }
}

CachedModel read_model(const fs::path& cache, const fs::path& folder, const std::string& id) {
  CachedModel model{id, folder, 0, {}, read_blobs(folder)};
  for (const CachedBlob& blob : model.blobs) model.bytes += blob.bytes;
  std::vector<std::string> refs;
  collect_refs(folder / "refs", folder / "refs", refs);
  const Repository repository(cache, id);
  for (const fs::path& path : entries(folder / "snapshots")) {
    CachedSnapshot snapshot{path.filename().string(), {}, {}, 0, {}};
    if (!is_commit(snapshot.commit)) continue;
    for (const std::string& ref : refs)
      if (repository.commit_of(ref) == snapshot.commit) snapshot.refs.push_back(ref);
    add_folder(model, snapshot, path);
    model.snapshots.push_back(std::move(snapshot));
  }
  return model;
}

std::string name_of_bytes(const fs::path& path, const CachedBlob& blob,
                          const std::function<void(std::uint64_t)>& each_block) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) fail_input(path.string() + ": " + std::strerror(errno));
  BlobDigest digest(blob.name, blob.bytes);
  std::vector<std::byte> block(kBlock);
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), file.get())) {
    digest.update({block.data(), n});
    each_block(n);
  }
  if (std::ferror(file.get()) != 0) fail_input(path.string() + ": read error: " + std::strerror(errno));
  return digest.finish();
}

std::vector<Garbage> find_garbage(const CachedModel& model) {
  std::vector<Garbage> garbage;
  std::set<std::string> kept;
  for (const CachedSnapshot& snapshot : model.snapshots) {
    if (!snapshot.refs.empty()) kept.insert(snapshot.commit);
    else garbage.push_back({model.folder / "snapshots" / snapshot.commit, "no branch or tag is this commit", 0});
  }
  for (const CachedBlob& blob : model.blobs) {
    const bool used = std::any_of(blob.files.begin(), blob.files.end(), [&](const std::string& file) {
      return kept.contains(file.substr(0, file.find('/')));
    });
    if (!used)
      garbage.push_back({model.folder / "blobs" / blob.name,
                         blob.incomplete ? "an interrupted download" : "no kept snapshot uses it", blob.bytes});
  }
  return garbage;
}

/// The blob a path belongs to. Other tools may put more between its name and ".incomplete".
std::string blob_name(const fs::path& path) {
  const std::string file = path.filename().string();
  return file.substr(0, file.find('.'));
}

}  // namespace

std::vector<CachedModel> read_cache(const fs::path& cache) {
  std::vector<CachedModel> models;
  for (const fs::path& folder : entries(cache))
    if (const std::string id = id_of(folder); !id.empty()) models.push_back(read_model(cache, folder, id));
  return models;
}

std::vector<Damage> verify(const CachedModel& model, const std::function<void(std::uint64_t)>& each_block) {
  std::vector<Damage> damage;
  for (const CachedBlob& blob : model.blobs) {
    if (blob.incomplete) continue;
    const fs::path path = model.folder / "blobs" / blob.name;
    const std::string found = name_of_bytes(path, blob, each_block);
    if (found == blob.name) continue;
    std::string what = "its bytes have the digest " + found;
    if (!blob.files.empty()) what += "; it is " + blob.files.front();
    damage.push_back({path, what});
  }
  for (const CachedSnapshot& snapshot : model.snapshots)
    for (const std::string& file : snapshot.broken)
      damage.push_back({model.folder / "snapshots" / snapshot.commit / file, "leads to a file that is not there"});
  return damage;
}

std::optional<std::vector<Garbage>> prune(const fs::path& cache, const std::string& id, bool dry_run) {
  const Repository repository(cache, id);
  const auto whole = repository.try_lock_whole();
  if (!whole) return std::nullopt;
  std::vector<Garbage> garbage = find_garbage(read_model(cache, repository.folder(), id));
  std::erase_if(garbage, [&](const Garbage& g) {
    const bool is_blob = g.path.parent_path().filename() == "blobs";
    const auto lock = is_blob ? repository.try_lock(blob_name(g.path)) : std::nullopt;
    if (is_blob && !lock) return true;
    std::error_code error;
    if (!dry_run) fs::remove_all(g.path, error);
    if (error) fail(Code::resource, g.path.string() + ": cannot be removed: " + error.message());
    return false;
  });
  return garbage;
}

}  // namespace d2c::hub
