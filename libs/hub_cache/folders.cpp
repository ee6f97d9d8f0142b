#include "libs/hub_cache/folders.hpp"

#include <d2c/error.hpp>

#include <cstdlib>

namespace d2c::hub {
namespace fs = std::filesystem;
namespace {

fs::path user_home() {
  const std::string home = environment("HOME");
  if (home.empty()) fail_usage("HOME is not set; set HF_HOME to the folder for downloaded models");
  return home;
}

/// A variable that names a path, "~" standing for the user's folder as those tools read it.
fs::path path_from(const char* variable) {
  const std::string text = environment(variable);
  if (text == "~") return user_home();
  return text.starts_with("~/") ? user_home() / text.substr(2) : fs::path(text);
}

fs::path first_of(const char* variable, const char* older_variable) {
  const fs::path path = path_from(variable);
  return path.empty() ? path_from(older_variable) : path;
}

}  // namespace

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path home_folder() {
  if (const fs::path home = path_from("HF_HOME"); !home.empty()) return fs::absolute(home);
  const fs::path caches = path_from("XDG_CACHE_HOME");
  return fs::absolute((caches.empty() ? user_home() / ".cache" : caches) / "huggingface");
}

fs::path cache_folder() {
  const fs::path cache = first_of("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE");
  return cache.empty() ? home_folder() / "hub" : fs::absolute(cache);
}

fs::path token_file() {
  const fs::path file = path_from("HF_TOKEN_PATH");
  return file.empty() ? home_folder() / "token" : fs::absolute(file);
}

}  // namespace d2c::hub
