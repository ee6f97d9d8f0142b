#include "host/loader/plugin_registry.hpp"

#include "host/crash/crash.hpp"
#include "host/loader/library.hpp"
#include "host/platform/process.hpp"
#include "libs/digest/sha256.hpp"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace d2c::host {
namespace fs = std::filesystem;
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path user_data_folder() {
  const std::string xdg = environment("XDG_DATA_HOME");
  if (!xdg.empty()) return xdg;
  const std::string home = environment("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".local/share";
}

bool is_library(const fs::path& path) {
  const std::string suffix = path.extension().string();
  return suffix == D2C_LIBRARY_SUFFIX || suffix == ".so";
}

bool writable_by_all(const fs::path& path) {
  std::error_code ignored;
  return (fs::status(path, ignored).permissions() & fs::perms::others_write) != fs::perms::none;
}

/// In a folder with this bit, /tmp for one, files belong to their owners alone.
bool is_sticky(const fs::path& folder) {
  std::error_code ignored;
  return (fs::status(folder, ignored).permissions() & fs::perms::sticky_bit) != fs::perms::none;
}

/// What anybody may replace is nobody's to run.
void check_permissions(const fs::path& library) {
  std::error_code error;
  const fs::path real = fs::canonical(library, error);
  if (error) return;  // loading says what is wrong
  const auto refuse = [&](const fs::path& path) {
    fail(Code::plugin, library.string() + ": is not loaded, because every user of this machine may write " +
                           path.string() + "; take that right away: chmod o-w " + path.string());
  };
  const fs::path folder = real.parent_path();
  for (const fs::path& path : {real, folder})
    if (writable_by_all(path)) refuse(path);
  for (fs::path above = folder; above != above.parent_path(); above = above.parent_path())
    if (writable_by_all(above.parent_path()) && !is_sticky(above.parent_path())) refuse(above.parent_path());
}

void check_pin(const PluginPin& pin, const Plugin& plugin) {
  if (!pin.version.empty() && pin.version != plugin.entry().version)
    fail(Code::plugin, pin.origin.text + ": plugin '" + pin.name + "' is version " + plugin.entry().version +
                           ", the recipe pins " + pin.version);
}

/// Before the library runs any code of its own.
void check_digest(const PluginPin& pin, const fs::path& path) {
  if (pin.sha256.empty()) return;
  const std::string found = sha256_of_file(path.string());
  if (found != pin.sha256)
    fail(Code::plugin,
         pin.origin.text + ": " + path.string() + " has sha256 " + found + ", the recipe pins " + pin.sha256);
}

}  // namespace

PluginRegistry::PluginRegistry(std::span<const fs::path> plugin_dirs, std::span<const PluginPin> pins) {
  for (const PluginPin& pin : pins) {
    pins_[pin.name] = pin;
    if (!pin.path.empty()) add(pin.path, "recipe");
  }
  for (const fs::path& directory : plugin_dirs) {
    if (!fs::is_directory(directory)) fail_usage("--plugin-dir " + directory.string() + ": no such directory");
    add_directory(directory, "--plugin-dir");
  }
  std::istringstream list(environment("D2C_PLUGIN_PATH"));
  for (std::string directory; std::getline(list, directory, ':');)
    if (!directory.empty()) add_directory(directory, "D2C_PLUGIN_PATH");
  const fs::path subfolder = fs::path(D2C_PLUGIN_SUBDIR).lexically_relative("lib");
  if (const fs::path data = user_data_folder(); !data.empty()) add_directory(data / subfolder, "user");
  add_directory(program_file().parent_path().parent_path() / D2C_PLUGIN_SUBDIR, "bundled");
}

void PluginRegistry::add_directory(const fs::path& directory, const std::string& origin) {
  std::error_code ignored;
  std::vector<fs::path> libraries;
  for (const auto& entry : fs::directory_iterator(directory, ignored))
    if (is_library(entry.path())) libraries.push_back(entry.path());
  std::sort(libraries.begin(), libraries.end());
  for (const fs::path& library : libraries) add(library, origin);
}

void PluginRegistry::add(const fs::path& path, const std::string& origin) {
  Candidate candidate{path.stem().string(), fs::absolute(path).lexically_normal(), origin, false, nullptr, {}};
  candidate.shadowed = std::any_of(candidates_.begin(), candidates_.end(),
                                   [&](const Candidate& earlier) { return earlier.name == candidate.name; });
  candidates_.push_back(std::move(candidate));
}

void PluginRegistry::load(Candidate& candidate) {
  if (candidate.shadowed || candidate.plugin || !candidate.refusal.empty()) return;
  try {
    check_permissions(candidate.path);
    const auto pin = pins_.find(candidate.name);
    if (pin != pins_.end()) check_digest(pin->second, candidate.path);
    auto plugin = std::make_shared<Plugin>(candidate.path);
    if (plugin->name() != candidate.name)
      fail(Code::plugin, candidate.path.string() + " calls itself '" + plugin->name() + "'; name the file " +
                             plugin->name() + candidate.path.extension().string());
    if (pin != pins_.end()) check_pin(pin->second, *plugin);
    candidate.plugin = std::move(plugin);
  } catch (const Error& e) {
    candidate.refusal = e.what();
  }
}

const std::vector<Candidate>& PluginRegistry::candidates() {
  for (Candidate& candidate : candidates_) load(candidate);
  return candidates_;
}

std::shared_ptr<Plugin> PluginRegistry::find(const std::string& name) {
  for (Candidate& candidate : candidates_) {
    if (candidate.name != name || candidate.shadowed) continue;
    load(candidate);
    if (!candidate.plugin) fail(Code::plugin, candidate.refusal);
    return candidate.plugin;
  }
  std::string known;
  for (const Candidate& candidate : candidates_)
    if (!candidate.shadowed) known += (known.empty() ? "" : ", ") + candidate.name;
  fail(Code::plugin, "no plugin '" + name + "' on the search path; " +
                         (known.empty() ? "none was found at all" : "there are " + known) +
                         " (see 'dolphin2coreml plugins list')");
}

std::shared_ptr<Plugin> PluginRegistry::recognise(const std::string& kind, const std::string& path) {
  std::shared_ptr<Plugin> best;
  std::int32_t best_score = 0;
  for (const Candidate& candidate : candidates()) {
    if (!candidate.plugin) continue;
    const d2c_factory* factory = candidate.plugin->factory(kind);
    if (factory == nullptr || factory->probe == nullptr) continue;
    const crash::PluginCall note(candidate.plugin->entry().name, "probe");
    const std::int32_t score = factory->probe(path.c_str());
    if (score > best_score) {
      best_score = score;
      best = candidate.plugin;
    }
  }
  return best;
}

std::shared_ptr<Plugin> PluginRegistry::probe(const std::string& kind, const std::string& path) {
  if (auto best = recognise(kind, path)) return best;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) fail_input(path + ": no such file or directory");
  fail_input(path + ": no plugin recognises this as " +
             (kind == D2C_WEIGHT_SOURCE
                  ? "a model: expected a Hugging Face directory (config.json and *.safetensors) or a .gguf file"
                  : "a package: expected a finished .mlpackage"));
}

void* PluginRegistry::create_object(const Plugin& plugin, const char* kind, std::size_t struct_size,
                                    const Value& options) {
  const d2c_factory* factory = plugin.factory(kind);
  if (factory == nullptr) {
    std::string offered;
    for (const std::string& k : plugin.kinds()) offered += (offered.empty() ? "" : ", ") + k;
    fail_usage("plugin '" + plugin.name() + "' is no " + kind + "; it offers " + offered);
  }
  const ValueExport exported(options);
  void* object = nullptr;
  const crash::PluginCall note(plugin.entry().name, "create");
  plugin.check(factory->create(&plugin.host(), exported.c(), &object));
  // Every kind's struct starts with its size.
  std::size_t size = 0;
  if (object != nullptr) size = *static_cast<const std::size_t*>(object);
  if (size < struct_size)
    fail(Code::plugin, "plugin '" + plugin.name() + "' " + plugin.entry().version + " made a " + kind + " of " +
                           std::to_string(size) + " bytes where " + std::to_string(struct_size) +
                           " are needed - rebuild it against d2c-sdk " + std::to_string(D2C_ABI_MAJOR) + ".x");
  return object;
}

}  // namespace d2c::host
