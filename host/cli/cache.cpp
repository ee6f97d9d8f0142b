#include "host/cli/cache.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/log/log.hpp"
#include "host/progress/progress.hpp"
#include "host/progress/progress_text.hpp"
#include "host/stop/stop.hpp"
#include "libs/hub_cache/contents.hpp"
#include "libs/hub_cache/folders.hpp"

#include <algorithm>
#include <vector>

namespace d2c::host::cli {
namespace {

/// All models, or the one that was asked for.
std::vector<hub::CachedModel> models_of(const Arguments& a) {
  std::vector<hub::CachedModel> models = hub::read_cache(hub::cache_folder());
  if (a.subject.empty()) return models;
  std::erase_if(models, [&](const hub::CachedModel& m) { return m.id != a.subject; });
  if (models.empty())
    fail_input("'" + a.subject + "' is not in the cache (" + hub::cache_folder().string() +
               "); 'dolphin2coreml cache list' shows what is");
  return models;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

Value whole(Value models) {
  Value value = Value::table();
  value.set("cache", hub::cache_folder().string());
  value.set("models", std::move(models));
  return value;
}

Value snapshot_value(const hub::CachedSnapshot& snapshot) {
  Value v = Value::table();
  v.set("commit", snapshot.commit);
  v.set("refs", Value::List(snapshot.refs.begin(), snapshot.refs.end()));
  v.set("files", Value::List(snapshot.files.begin(), snapshot.files.end()));
  v.set("bytes", snapshot.bytes);
  return v;
}

std::uint64_t incomplete_bytes(const hub::CachedModel& model) {
  std::uint64_t bytes = 0;
  for (const hub::CachedBlob& blob : model.blobs) bytes += blob.incomplete ? blob.bytes : 0;
  return bytes;
}

}  // namespace

std::string cache_list(const Arguments& a) {
  Value list = Value::list();
  Table table({"model", "commit", "is", "files", "size"}, {false, false, false, true, true});
  std::uint64_t bytes = 0;
  for (const hub::CachedModel& model : models_of(a)) {
    Value v = Value::table(), snapshots = Value::list();
    for (const hub::CachedSnapshot& snapshot : model.snapshots) {
      snapshots.push_back(snapshot_value(snapshot));
      table.add({model.id, snapshot.commit.substr(0, 12), joined(snapshot.refs), std::to_string(snapshot.files.size()),
                 size_text(snapshot.bytes)});
    }
    const std::uint64_t incomplete = incomplete_bytes(model);
    if (incomplete > 0) table.add({model.id, "", "interrupted download", "", size_text(incomplete)});
    v.set("id", model.id);
    v.set("bytes", model.bytes);
    v.set("incomplete_bytes", incomplete);
    v.set("snapshots", std::move(snapshots));
    list.push_back(std::move(v));
    bytes += model.bytes;
  }
  const std::string text = table.text() + "\n" + size_text(bytes) + " in " + hub::cache_folder().string() + "\n";
  return result(a.json, whole(std::move(list)), text);
}

std::string cache_verify(const Arguments& a) {
  const std::vector<hub::CachedModel> models = models_of(a);
  const auto progress = make_progress(a.quiet || !a.progress);
  Value list = Value::list();
  std::string text;
  bool intact = true;
  for (const hub::CachedModel& model : models) {
    progress->begin("verify " + model.id, model.bytes - incomplete_bytes(model), 0);
    const std::vector<hub::Damage> damage = hub::verify(model, [&](std::uint64_t bytes) {
      stop::throw_if_requested();
      progress->advance(bytes, false);
    });
    progress->end();
    Value v = Value::table(), found = Value::list();
    for (const hub::Damage& d : damage) {
      Value entry = Value::table();
      entry.set("path", d.path.string());
      entry.set("what", d.what);
      found.push_back(std::move(entry));
      text += d.path.string() + ": " + d.what + "; remove it, the next download brings it again\n";
    }
    v.set("id", model.id);
    v.set("damage", std::move(found));
    list.push_back(std::move(v));
    if (damage.empty()) text += model.id + ": ok\n";
    intact = intact && damage.empty();
  }
  text = result(a.json, whole(std::move(list)), text);
  if (!intact) throw CheckFailed{text};
  return text;
}

std::string cache_prune(const Arguments& a) {
  Value list = Value::list();
  std::string text;
  std::uint64_t bytes = 0;
  for (const hub::CachedModel& model : models_of(a)) {
    const auto removed = hub::prune(hub::cache_folder(), model.id, a.cache.dry_run);
    if (!removed) {
      log::warn(model.id + ": is being downloaded, left alone");
      continue;
    }
    Value v = Value::table(), gone = Value::list();
    for (const hub::Garbage& g : *removed) {
      Value entry = Value::table();
      entry.set("path", g.path.string());
      entry.set("why", g.why);
      entry.set("bytes", g.bytes);
      gone.push_back(std::move(entry));
      text += g.path.string() + ": " + g.why + "\n";
      bytes += g.bytes;
    }
    v.set("id", model.id);
    v.set("removed", std::move(gone));
    list.push_back(std::move(v));
  }
  text += (a.cache.dry_run ? "would free " : "freed ") + size_text(bytes) + "\n";
  return result(a.json, whole(std::move(list)), text);
}

}  // namespace d2c::host::cli
