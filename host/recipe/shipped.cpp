// The recipes that travel with the program.
#include "host/platform/process.hpp"
#include "host/recipe/nearest.hpp"
#include "host/recipe/recipe.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

namespace fs = std::filesystem;

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

}  // namespace

fs::path shipped_recipes() { return program_file().parent_path().parent_path() / D2C_CONFIG_SUBDIR; }

std::vector<std::string> list_shipped_recipes() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(shipped_recipes(), ignored))
    if (entry.path().extension() == ".toml") names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

fs::path find_recipe(const std::string& name_or_path) {
  const fs::path path = name_or_path;
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return path;
  if (!path.has_parent_path()) {
    for (const char* suffix : {"", ".toml"}) {
      const fs::path shipped = shipped_recipes() / (name_or_path + suffix);
      if (fs::is_regular_file(shipped, ignored)) return shipped;
    }
  }
  // A pipe or a device is read as it is; load_recipe says what is wrong with a folder.
  if (fs::exists(path, ignored)) return path;
  const std::vector<std::string> names = list_shipped_recipes();
  fail_usage("no recipe '" + name_or_path + "': there is no such file" + did_you_mean(name_or_path, names) +
             " (shipped recipes: " + list_of(names) + ")");
}

}  // namespace d2c::host
