#include "host/fetch/fetch.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace d2c::host {
namespace {

struct Listener {
  Progress& progress;
  std::string phase;
  bool begun = false;

  void finish() {
    if (std::exchange(begun, false)) progress.end();
  }
  static Listener& of(void* self) { return *static_cast<Listener*>(self); }
};

/// The fetcher for what is no path on this machine; null where none knows it.
std::shared_ptr<Plugin> fetcher_for(const std::string& id, PluginRegistry& plugins) {
  std::error_code ignored;
  if (id.empty() || std::filesystem::exists(id, ignored)) return nullptr;
  return plugins.recognise(D2C_FETCHER, id);
}

Fetched fetch(const std::shared_ptr<Plugin>& plugin, const std::string& id, const std::string& revision,
              d2c_fetch_purpose purpose, PluginRegistry& plugins, Progress& progress) {
  const auto fetcher = plugins.create<d2c_fetcher>(plugin, Value::table());
  Listener listener{progress, "fetch " + id};
  const d2c_fetch_request request{
      sizeof request,
      id.c_str(),
      revision.c_str(),
      purpose,
      0,
      &listener,
      [](void* self, std::uint64_t bytes, std::uint64_t) {
        Listener& l = Listener::of(self);
        l.finish();
        l.progress.begin(l.phase, bytes, 0);
        l.begun = true;
      },
      [](void* self, std::uint64_t bytes, std::int32_t) { Listener::of(self).progress.advance(bytes, false); }};
  d2c_fetched fetched{};
  fetcher.check(fetcher->fetch(fetcher->self, &request, &fetched));
  listener.finish();
  return {fetched.folder, fetched.name, fetched.revision};
}

/// One thing of a recipe that may be elsewhere.
struct Input {
  std::string key;  ///< as Recipe::folders has it
  std::string id;
  std::string revision;
  d2c_fetch_purpose purpose = D2C_FETCH_MODEL;
};

bool encodes(const Recipe& recipe) {
  return std::any_of(recipe.functions.begin(), recipe.functions.end(),
                     [](const FunctionSection& f) { return f.stack == "encoder"; });
}

bool is_fetcher(const std::string& plugin, PluginRegistry& plugins) {
  return !plugin.empty() && plugins.find(plugin)->factory(D2C_FETCHER) != nullptr;
}

/// A message that is about the hub is of no use to somebody who mistyped a path.
std::optional<Fetched> fetch(const Input& input, const Recipe& recipe, PluginRegistry& plugins, Progress& progress) {
  const auto plugin = fetcher_for(input.id, plugins);
  if (!plugin) return std::nullopt;
  try {
    return fetch(plugin, input.id, input.revision, input.purpose, plugins, progress);
  } catch (const Error& e) {
    if (e.code() != Code::input) throw;
    throw Error(e.code(), std::string(e.what()) + " ('" + input.id + "' is no local path either, " +
                              recipe.origin_of(input.key).text + ")");
  }
}

}  // namespace

Recipe fetch_inputs(Recipe recipe, PluginRegistry& plugins, Progress& progress) {
  const auto bring = [&](const Input& input) {
    auto fetched = fetch(input, recipe, plugins, progress);
    if (fetched) recipe.folders[input.key] = fetched->folder;
    return fetched;
  };
  // Its weights are then for whichever source knows the folder.
  if (is_fetcher(recipe.model.plugin, plugins)) recipe.model.plugin.clear();
  if (const auto model = bring({"model.source", recipe.model.source, recipe.model.revision})) {
    recipe.model.source = model->name;
    recipe.model.revision = model->revision;
    recipe.resolved.find("model")->set("source", model->name);
    recipe.resolved.find("model")->set("revision", model->revision);
  }
  if (encodes(recipe))
    if (const auto base = bring({"encoder.model", recipe.encoder.text_or("model", ""), ""}))
      recipe.resolved.find("encoder")->set("model", base->name + "@" + base->revision);
  for (std::size_t i = 0; i < recipe.adapters.size(); ++i) {
    AdapterSection& adapter = recipe.adapters[i];
    if (adapter.stack == "encoder" && !encodes(recipe)) continue;
    const std::string key = "adapter[" + std::to_string(i) + "].path";
    const auto fetched = bring({key, adapter.path, adapter.revision, D2C_FETCH_ADAPTER});
    if (!fetched) continue;
    adapter.path = fetched->name;
    adapter.revision = fetched->revision;
    Value& written = recipe.resolved.find("adapter")->items()[i];
    written.set("path", fetched->name);
    written.set("revision", fetched->revision);
  }
  return recipe;
}

}  // namespace d2c::host
