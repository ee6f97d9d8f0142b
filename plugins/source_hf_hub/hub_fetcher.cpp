#include "plugins/source_hf_hub/hub_fetcher.hpp"

#include "libs/hub_cache/repository.hpp"
#include "plugins/source_hf_hub/download.hpp"
#include "plugins/source_hf_hub/http.hpp"
#include "plugins/source_hf_hub/hub.hpp"
#include "plugins/source_hf_hub/selection.hpp"
#include "plugins/source_hf_hub/settings.hpp"
#include "plugins/source_hf_hub/transfers.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace d2c::hub {
namespace fs = std::filesystem;
namespace {

constexpr const char* kDefaultRevision = "main";

struct Wanted {
  std::string id;
  std::string revision;
};

/// "ORG/NAME@REVISION" in its parts; nothing where it is no such id.
std::optional<Wanted> parse_id(const std::string& text) {
  const std::size_t at = text.find('@');
  Wanted wanted{text.substr(0, at), at == std::string::npos ? std::string() : text.substr(at + 1)};
  if (!is_repository_id(wanted.id) || (at != std::string::npos && !is_revision(wanted.revision))) return std::nullopt;
  return wanted;
}

Wanted wanted_by(const FetchRequest& request) {
  auto wanted = parse_id(request.id);
  if (!wanted) fail_usage("'" + request.id + "' is no hub id; expected ORG/NAME or ORG/NAME@REVISION");
  if (request.revision.empty()) {
    if (wanted->revision.empty()) wanted->revision = kDefaultRevision;
    return *wanted;
  }
  if (!is_revision(request.revision)) fail_usage("'" + request.revision + "' is no revision");
  if (!wanted->revision.empty() && wanted->revision != request.revision)
    fail_usage(request.id + ": the revision is said to be '" + request.revision + "' as well; name one of them");
  wanted->revision = request.revision;
  return *wanted;
}

/// Files of a snapshot that are there.
std::vector<std::string> files_in(const Repository& repository, const std::string& commit) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(repository.snapshot(commit), ignored))
    if (std::string name = entry.path().filename().string(); repository.has(commit, name))
      files.push_back(std::move(name));
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> missing(const Repository& repository, const std::string& commit,
                                 const std::vector<std::string>& files) {
  std::vector<std::string> absent;
  std::copy_if(files.begin(), files.end(), std::back_inserter(absent),
               [&](const std::string& file) { return !repository.has(commit, file); });
  return absent;
}

/// What is in the cache, without asking anybody.
Fetched from_cache(const Repository& repository, const Wanted& wanted, d2c_fetch_purpose purpose) {
  const auto commit = repository.commit_of(wanted.revision);
  std::error_code ignored;
  if (!commit || !fs::is_directory(repository.snapshot(*commit), ignored))
    fail_input(wanted.id + ": revision '" + wanted.revision + "' is not in the cache (" + repository.folder().string() +
               "), and HF_HUB_OFFLINE forbids to download it; unset HF_HUB_OFFLINE");
  const std::string what = wanted.id + " in the cache (HF_HUB_OFFLINE is set)";
  (void)weight_files(files_in(repository, *commit), purpose, repository.snapshot(*commit), what);
  return {repository.snapshot(*commit).string(), wanted.id, *commit};
}

/// One fetch from the hub.
class Session {
 public:
  Session(const Settings& settings, const Host& host, const Repository& repository, const Wanted& wanted)
      : host_(host),
        repository_(repository),
        wanted_(wanted),
        transfers_(settings, host),
        hub_(settings, transfers_, wanted.id) {}

  Fetched run(const FetchRequest& request) {
    const Revision revision = hub_.revision(wanted_.revision);
    const fs::path snapshot = repository_.snapshot(revision.commit);
    repository_.create(revision.commit);
    const Lock in_use = repository_.lock_shared();
    bring(revision.commit, small_files(revision.files), request);
    bring(revision.commit, weight_files(revision.files, request.purpose, snapshot, wanted_.id), request);
    if (wanted_.revision != revision.commit) repository_.set_ref(wanted_.revision, revision.commit);
    return {snapshot.string(), wanted_.id, revision.commit};
  }

 private:
  void bring(const std::string& commit, const std::vector<std::string>& files, const FetchRequest& request) {
    const std::vector<std::string> absent = missing(repository_, commit, files);
    download({hub_, repository_, commit}, hub_.describe(commit, absent), request, transfers_, host_);
  }

  const Host& host_;
  const Repository& repository_;
  const Wanted& wanted_;
  Transfers transfers_;
  Hub hub_;
};

}  // namespace

int HubFetcher::probe(const char* id) { return parse_id(id) ? 50 : 0; }

HubFetcher::HubFetcher(const Host& host, const Config&) : host_(host) {}

Fetched HubFetcher::fetch(const FetchRequest& request) {
  const Wanted wanted = wanted_by(request);
  Settings settings = read_settings();
  if (!settings.token.empty() && !is_private(settings.endpoint)) {
    host_.warn("the token in " + settings.token_origin + " is not sent: HF_ENDPOINT is not https");
    settings.token.clear();
  }
  const Repository repository(settings.cache, wanted.id);
  if (settings.offline) return from_cache(repository, wanted, request.purpose);
  try {
    return Session(settings, host_, repository, wanted).run(request);
  } catch (const Error& e) {
    const auto commit = repository.commit_of(wanted.revision);
    if (e.code() != Code::network || !commit || !repository.has(*commit, "config.json")) throw;
    throw Error(e.code(), std::string(e.what()) + ". An earlier download of " + wanted.id +
                              " is in the cache; HF_HUB_OFFLINE=1 uses it");
  }
}

}  // namespace d2c::hub
