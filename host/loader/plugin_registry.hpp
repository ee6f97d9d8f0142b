// Finds plugins, loads them on demand, and makes objects of their kinds.
#pragma once

#include "host/loader/guarded_object.hpp"
#include "host/recipe/recipe.hpp"

#include <d2c/abi.h>
#include <d2c/error.hpp>
#include <d2c/value.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace d2c::host {

/// One loaded library. Stays mapped until the process ends: exceptions, loggers and leak reports may point into it.
class Plugin {
 public:
  /// Loads the library at `path`. A refusal is Error(plugin): one sentence with both versions and the remedy.
  explicit Plugin(const std::filesystem::path& path);
  ~Plugin();
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  [[nodiscard]] const d2c_plugin_entry& entry() const noexcept { return *entry_; }
  [[nodiscard]] std::string name() const { return entry_->name; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// Digest of the library file, computed when first asked for; one thread at a time may ask.
  [[nodiscard]] const std::string& sha256() const;
  [[nodiscard]] std::vector<std::string> kinds() const;
  /// Null where the plugin does not offer that kind.
  [[nodiscard]] const d2c_factory* factory(const std::string& kind) const;
  [[nodiscard]] std::span<const d2c_option_spec* const> options(const std::string& kind) const;
  /// Turns a code of one of this plugin's functions into an Error that names the plugin.
  void check(d2c_code code) const;
  [[nodiscard]] const d2c_host& host() const noexcept { return host_; }

 private:
  struct Library;
  std::filesystem::path path_;
  mutable std::string sha256_;
  std::unique_ptr<Library> library_;
  const d2c_plugin_entry* entry_ = nullptr;
  d2c_host host_{};
};

/// Owns one object of a plugin. `CStruct` is the kind's struct, e.g. d2c_quantizer.
///
///     quantizer.check(quantizer->plan(quantizer->self, &desc, &layout));
template <class CStruct>
class Handle {
 public:
  Handle(std::shared_ptr<Plugin> plugin, CStruct* object) : plugin_(std::move(plugin)), object_(object) {}
  Handle(Handle&& o) noexcept : plugin_(std::move(o.plugin_)), object_(std::exchange(o.object_, nullptr)) {}
  Handle& operator=(Handle&& o) noexcept {
    std::swap(plugin_, o.plugin_);
    std::swap(object_, o.object_);
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (object_ != nullptr) object_->destroy(object_->self);
  }

  CStruct* operator->() const noexcept { return object_; }
  [[nodiscard]] Plugin& plugin() const noexcept { return *plugin_; }
  void check(d2c_code code) const { plugin_->check(code); }

 private:
  std::shared_ptr<Plugin> plugin_;
  CStruct* object_;
};

/// The interface id of each kind's struct.
template <class CStruct>
struct KindOf;
template <>
struct KindOf<d2c_weight_source> {
  static constexpr const char* id = D2C_WEIGHT_SOURCE;
};
template <>
struct KindOf<d2c_adapter_merger> {
  static constexpr const char* id = D2C_ADAPTER_MERGER;
};
template <>
struct KindOf<d2c_quantizer> {
  static constexpr const char* id = D2C_QUANTIZER;
};
template <>
struct KindOf<d2c_function_emitter> {
  static constexpr const char* id = D2C_FUNCTION_EMITTER;
};
template <>
struct KindOf<d2c_package_writer> {
  static constexpr const char* id = D2C_PACKAGE_WRITER;
};
template <>
struct KindOf<d2c_package_reader> {
  static constexpr const char* id = D2C_PACKAGE_READER;
};
template <>
struct KindOf<d2c_runner> {
  static constexpr const char* id = D2C_RUNNER;
};
template <>
struct KindOf<d2c_fetcher> {
  static constexpr const char* id = D2C_FETCHER;
};

/// A library found on the search path, loaded or refused.
struct Candidate {
  std::string name;
  std::filesystem::path path;
  std::string origin;              ///< "recipe", "--plugin-dir", "D2C_PLUGIN_PATH", "user", "bundled"
  bool shadowed = false;           ///< an earlier candidate has the same name
  std::shared_ptr<Plugin> plugin;  ///< null when refused or shadowed
  std::string refusal;             ///< why, one sentence
};

/// Not thread-safe.
class PluginRegistry {
 public:
  /// Search order: pins with a path, `plugin_dirs`, D2C_PLUGIN_PATH (':'-separated), the user's data folder, the
  /// bundled folder. The first library of a name wins; nothing is loaded yet.
  PluginRegistry(std::span<const std::filesystem::path> plugin_dirs, std::span<const PluginPin> pins);

  /// Loads everything that is not shadowed; refusals are kept with their reasons.
  [[nodiscard]] const std::vector<Candidate>& candidates();

  /// The plugin of that name. Error(plugin) with the refusal, or naming the plugins there are.
  [[nodiscard]] std::shared_ptr<Plugin> find(const std::string& name);

  /// The loadable plugin whose probe for `kind` scores `path` highest; Error(input) where none knows it.
  [[nodiscard]] std::shared_ptr<Plugin> probe(const std::string& kind, const std::string& path);
  /// The same, null where none knows it.
  [[nodiscard]] std::shared_ptr<Plugin> recognise(const std::string& kind, const std::string& path);

  /// Creates an object; `options` as the plugin expects them (checked, defaults filled in).
  template <class CStruct>
  [[nodiscard]] Handle<CStruct> create(const std::shared_ptr<Plugin>& plugin, const Value& options) {
    void* const object = create_object(*plugin, KindOf<CStruct>::id, sizeof(CStruct), options);
    return {plugin, guarded(static_cast<CStruct*>(object), plugin->entry().name)};
  }

 private:
  void add_directory(const std::filesystem::path& directory, const std::string& origin);
  void add(const std::filesystem::path& path, const std::string& origin);
  void load(Candidate& candidate);
  static void* create_object(const Plugin& plugin, const char* kind, std::size_t struct_size, const Value& options);

  std::vector<Candidate> candidates_;
  std::map<std::string, PluginPin> pins_;
};

}  // namespace d2c::host
