#include "host/cli/doctor.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/platform/files.hpp"
#include "host/platform/process.hpp"
#include "host/progress/progress_text.hpp"
#include "host/recipe/recipe.hpp"
#include "host/workspace/workspace.hpp"
#include "libs/hub_cache/contents.hpp"
#include "libs/hub_cache/folders.hpp"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace d2c::host::cli {
namespace {

namespace fs = std::filesystem;

/// Below this the default --max-memory leaves too little to the rest of the machine.
constexpr std::uint64_t kLeastMemory = std::uint64_t{2} << 30;
/// What the default recipe writes, roughly.
constexpr std::uint64_t kPackageOf8B = std::uint64_t{5} << 30;
constexpr std::uint64_t kDownloadOf8B = std::uint64_t{16} << 30;

enum class Verdict { ok, note, problem };

struct Finding {
  std::string subject;
  Verdict verdict = Verdict::ok;
  std::string what;
  std::string remedy;  ///< empty where there is nothing to do
};
using Findings = std::vector<Finding>;

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok: return "ok";
    case Verdict::note: return "note";
    default: return "problem";
  }
}

/// A check that cannot even be made is a finding, too.
void examine(Findings& findings, const char* subject, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& e) {
    findings.push_back({subject, Verdict::problem, e.what(), ""});
  } catch (const fs::filesystem_error& e) {
    findings.push_back({subject, Verdict::problem, e.path1().string() + ": " + e.code().message(), ""});
  }
}

void examine_machine(Findings& findings) {
  const std::uint64_t memory = physical_memory();
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  Finding finding{"machine", Verdict::ok, std::to_string(cores) + " cores, " + size_text(memory) + " of memory", ""};
  if (memory != 0 && memory < kLeastMemory) {
    finding.verdict = Verdict::note;
    finding.remedy = "pass --max-memory 512M, or less";
  }
  findings.push_back(std::move(finding));
  if constexpr (std::endian::native != std::endian::little)
    findings.push_back({"machine", Verdict::problem, "its byte order is not that of the files", "use another machine"});
}

void examine_recipes(Findings& findings) {
  const fs::path base = find_recipe("base");
  (void)load_recipe(base, {});
  findings.push_back({"recipes", Verdict::ok, "in " + base.parent_path().string(), ""});
}

void examine_plugins(Findings& findings, std::span<const fs::path> folders) {
  PluginRegistry plugins(folders, {});
  std::set<std::string> missing{D2C_WEIGHT_SOURCE,  D2C_ADAPTER_MERGER, D2C_QUANTIZER, D2C_FUNCTION_EMITTER,
                                D2C_PACKAGE_WRITER, D2C_PACKAGE_READER, D2C_RUNNER,    D2C_FETCHER};
  std::size_t loaded = 0;
  for (const Candidate& candidate : plugins.candidates()) {
    if (!candidate.refusal.empty())
      findings.push_back(
          {"plugins", Verdict::problem, candidate.refusal, "mend it, or remove " + candidate.path.string()});
    if (!candidate.plugin) continue;
    ++loaded;
    for (const std::string& kind : candidate.plugin->kinds()) missing.erase(kind);
  }
  for (const std::string& kind : missing)
    findings.push_back(
        {"plugins", Verdict::problem, "none is a " + kind, "install the program again, with its lib folder"});
  findings.push_back({"plugins", Verdict::ok, std::to_string(loaded) + " loaded", ""});
}

/// The nearest folder that exists.
fs::path existing(fs::path folder) {
  std::error_code ignored;
  while (!fs::is_directory(folder, ignored) && folder != folder.parent_path()) folder = folder.parent_path();
  return folder;
}

void examine_room(Findings& findings, const char* subject, const fs::path& folder, std::uint64_t wanted,
                  const std::string& what_for) {
  const std::uint64_t free = fs::space(existing(folder)).available;
  Finding finding{subject, Verdict::ok, folder.string() + ": " + size_text(free) + " free", ""};
  if (free < wanted) {
    finding.verdict = Verdict::note;
    finding.remedy =
        what_for + " of an 8B model takes about " + size_text(wanted) + ": make room, or choose another disk";
  }
  findings.push_back(std::move(finding));
}

/// Does in `folder` what a conversion does there: lock, write, sync, rename.
void try_to_write(const fs::path& folder) {
  const fs::path output = folder / ("dolphin2coreml-doctor-" + std::to_string(getpid()));
  Workspace workspace(output, false);
  workspace.prepare(false);
  write_durably(workspace.package() / "file", "Can files be written here?\n");
  sync_directory(workspace.package());
  workspace.publish();
  fs::remove_all(output);
}

void examine_disk(Findings& findings, const fs::path& folder) {
  try_to_write(folder);
  examine_room(findings, "disk", folder, kPackageOf8B, "the package");
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') || !name.ends_with(".d2c") || !entry.is_directory()) continue;
    const std::string output = (folder / name.substr(1, name.size() - 5)).string();
    findings.push_back({"disk", Verdict::note, entry.path().string() + ": an interrupted run, or one that is under way",
                        "the same command continues it, 'dolphin2coreml clean " + output + "' removes it"});
  }
}

void examine_cache(Findings& findings) {
  const fs::path cache = hub::cache_folder();
  const std::vector<hub::CachedModel> models = hub::read_cache(cache);
  std::uint64_t bytes = 0;
  for (const hub::CachedModel& model : models) {
    bytes += model.bytes;
    std::size_t broken = 0;
    for (const hub::CachedSnapshot& snapshot : model.snapshots) broken += snapshot.broken.size();
    if (broken > 0)
      findings.push_back({"cache", Verdict::note, model.id + ": " + std::to_string(broken) + " files lead nowhere",
                          "the next download brings them again"});
    const bool incomplete =
        std::any_of(model.blobs.begin(), model.blobs.end(), [](const auto& b) { return b.incomplete; });
    if (incomplete)
      findings.push_back({"cache", Verdict::note, model.id + ": an interrupted download",
                          "the same command continues it, 'dolphin2coreml cache prune " + model.id + "' removes it"});
  }
  findings.push_back({"cache", Verdict::ok, std::to_string(models.size()) + " models, " + size_text(bytes), ""});
  examine_room(findings, "cache", cache, kDownloadOf8B, "the download");
}

void examine_token(Findings& findings) {
  if (hub::environment("HF_HUB_OFFLINE") == "1")
    findings.push_back({"hub", Verdict::note, "HF_HUB_OFFLINE is set", "unset it to download anything"});
  std::error_code ignored;
  const fs::path file = hub::token_file();
  if (!hub::environment("HF_TOKEN").empty()) findings.push_back({"hub", Verdict::ok, "a token is in HF_TOKEN", ""});
  else if (fs::exists(file, ignored)) findings.push_back({"hub", Verdict::ok, "a token is in " + file.string(), ""});
  else findings.push_back({"hub", Verdict::ok, "no token: gated models need one, in HF_TOKEN or " + file.string(), ""});
}

Value to_value(const Findings& findings, bool healthy) {
  Value list = Value::list();
  for (const Finding& finding : findings) {
    Value v = Value::table();
    v.set("subject", finding.subject);
    v.set("verdict", name_of(finding.verdict));
    v.set("what", finding.what);
    if (!finding.remedy.empty()) v.set("remedy", finding.remedy);
    list.push_back(std::move(v));
  }
  Value value = Value::table();
  value.set("healthy", healthy);
  value.set("findings", std::move(list));
  return value;
}

std::string to_text(const Findings& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += finding.subject + ": " + name_of(finding.verdict) + ": " + finding.what + "\n";
    if (!finding.remedy.empty()) text += "    " + finding.remedy + "\n";
  }
  return text;
}

}  // namespace

std::string doctor(const Arguments& a) {
  std::error_code error;
  const fs::path folder = fs::canonical(a.subject.empty() ? "." : a.subject, error);
  if (error || !fs::is_directory(folder, error)) fail_usage(a.subject + ": no such folder");
  Findings findings;
  examine(findings, "machine", [&] { examine_machine(findings); });
  examine(findings, "recipes", [&] { examine_recipes(findings); });
  examine(findings, "plugins", [&] { examine_plugins(findings, a.plugin_dirs); });
  examine(findings, "disk", [&] { examine_disk(findings, folder); });
  examine(findings, "cache", [&] { examine_cache(findings); });
  examine(findings, "hub", [&] { examine_token(findings); });
  const bool healthy =
      std::none_of(findings.begin(), findings.end(), [](const Finding& f) { return f.verdict == Verdict::problem; });
  const std::string text = result(a.json, to_value(findings, healthy), to_text(findings));
  if (!healthy) throw CheckFailed{text};
  return text;
}

}  // namespace d2c::host::cli
