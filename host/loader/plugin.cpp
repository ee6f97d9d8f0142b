#include "host/crash/crash.hpp"
#include "host/loader/library.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/log/log.hpp"
#include "host/stop/stop.hpp"
#include "libs/digest/sha256.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

/// The message of the calling thread's last failed call; see d2c_host.fail.
thread_local std::string t_message;

log::Level to_level(d2c_log_level level) {
  switch (level) {
    case D2C_LOG_DEBUG: return log::Level::debug;
    case D2C_LOG_INFO: return log::Level::info;
    case D2C_LOG_WARN: return log::Level::warn;
    default: return log::Level::error;
  }
}

std::string version_text(unsigned major, unsigned minor) { return std::to_string(major) + "." + std::to_string(minor); }

/// What `entry` promises before anything but its first fields may be trusted.
void check_entry(const d2c_plugin_entry* entry, const std::string& path) {
  const std::string remedy = " - rebuild it against d2c-sdk " + std::to_string(D2C_ABI_MAJOR) + ".x";
  if (entry == nullptr) fail(Code::plugin, path + " is not a dolphin2coreml plugin: it exports no 'd2c_plugin'");
  if (entry->magic != D2C_ABI_MAGIC)
    fail(Code::plugin, path + " is not a dolphin2coreml plugin: its 'd2c_plugin' does not start with the magic number");
  if (entry->abi_major != D2C_ABI_MAJOR || entry->abi_minor > D2C_ABI_MINOR) {
    // The name and the version keep their place in every version of the entry.
    const std::string tail = entry->abi_major == D2C_ABI_MAJOR
                                 ? " - update dolphin2coreml, or rebuild the plugin against d2c-sdk " +
                                       version_text(D2C_ABI_MAJOR, D2C_ABI_MINOR)
                                 : remedy;
    fail(Code::plugin, "plugin '" + std::string(entry->name) + "' " + entry->version + " speaks ABI " +
                           version_text(entry->abi_major, entry->abi_minor) + "; this host speaks " +
                           version_text(D2C_ABI_MAJOR, D2C_ABI_MINOR) + tail);
  }
  if (entry->struct_size < sizeof(d2c_plugin_entry))
    fail(Code::plugin, "plugin '" + std::string(entry->name) + "' " + entry->version + " has an entry of " +
                           std::to_string(entry->struct_size) + " bytes where ABI " +
                           version_text(D2C_ABI_MAJOR, D2C_ABI_MINOR) + " needs " +
                           std::to_string(sizeof(d2c_plugin_entry)) + remedy);
}

void check_factory(const d2c_factory* factory, const d2c_plugin_entry& entry, const char* kind) {
  if (factory != nullptr && factory->struct_size >= sizeof(d2c_factory) && factory->create != nullptr) return;
  fail(Code::plugin, "plugin '" + std::string(entry.name) + "' " + entry.version + " lists " + kind +
                         " but has no complete factory for it");
}

}  // namespace

struct Plugin::Library : host::Library {
  using host::Library::Library;
};

Plugin::Plugin(const std::filesystem::path& path) : path_(path) {
  if (!std::filesystem::exists(path)) fail(Code::plugin, path.string() + ": no such file");
  const crash::PluginCall note(path_.c_str(), "loading");
  library_ = std::make_unique<Library>(path);
  entry_ = library_->entry();
  check_entry(entry_, path.string());
  for (const char* const* kind = entry_->kinds; *kind != nullptr; ++kind)
    check_factory(entry_->factory(*kind), *entry_, *kind);

  host_.struct_size = sizeof host_;
  host_.self = this;
  host_.log = [](void* self, d2c_log_level level, const char* text) {
    log::write(to_level(level), static_cast<Plugin*>(self)->name() + ": " + text);
  };
  host_.fail = [](void*, d2c_code code, const char* message) {
    t_message = message;
    return code;
  };
  host_.cancelled = [](void*) { return static_cast<std::int32_t>(stop::requested()); };
}

Plugin::~Plugin() = default;

const std::string& Plugin::sha256() const {
  if (sha256_.empty()) sha256_ = sha256_of_file(path_.string());
  return sha256_;
}

std::vector<std::string> Plugin::kinds() const {
  std::vector<std::string> kinds;
  for (const char* const* kind = entry_->kinds; *kind != nullptr; ++kind) kinds.emplace_back(*kind);
  return kinds;
}

const d2c_factory* Plugin::factory(const std::string& kind) const {
  const auto offered = kinds();
  return std::find(offered.begin(), offered.end(), kind) == offered.end() ? nullptr : entry_->factory(kind.c_str());
}

std::span<const d2c_option_spec* const> Plugin::options(const std::string& kind) const {
  const d2c_factory* f = factory(kind);
  return f == nullptr ? std::span<const d2c_option_spec* const>{} : std::span(f->options, f->option_count);
}

void Plugin::check(d2c_code code) const {
  if (code == D2C_OK) return;
  const std::string message = std::exchange(t_message, {});
  if (code == D2C_INTERRUPTED) throw Error(Code::interrupted, "interrupted");
  static constexpr d2c_code kKnown[] = {D2C_CHECK_FAILED, D2C_USAGE, D2C_INPUT, D2C_NETWORK, D2C_RESOURCE};
  const bool known = std::find(std::begin(kKnown), std::end(kKnown), code) != std::end(kKnown);
  throw Error(
      known ? static_cast<Code>(code) : Code::plugin,
      name() + ": " + (message.empty() ? "failed with code " + std::to_string(code) + " and no message" : message));
}

}  // namespace d2c::host
