// The model that a package was made from, as an unquantized fp32 package of its own for as long as it is compared with.
#pragma once

#include "host/loader/plugin_registry.hpp"
#include "host/progress/progress.hpp"
#include "host/recipe/recipe.hpp"

#include <filesystem>
#include <span>
#include <string>

namespace d2c::host {

/// A folder in the system's place for temporary files (TMPDIR) that goes away with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// The recipe that a package carries, without its adapters, whose paths it does not tell, and with the overrides.
/// Error(input) where it carries none.
[[nodiscard]] Recipe carried_recipe(PluginRegistry& plugins, const std::string& package,
                                    std::span<const Override> overrides);

class SourcePackage {
 public:
  /// Converts the recipe's model with everything that changes its numbers left out: no quantizer, no fp16, and adapters
  /// that are low-rank products beside the base's weights, not merged into them. `init` gives the logits of every token
  /// where its emitter can.
  SourcePackage(const Recipe& recipe, PluginRegistry& plugins, unsigned threads, Progress& progress);

  [[nodiscard]] std::string path() const { return (folder_.path() / "source.mlpackage").string(); }
  /// For people: "MODEL, unquantized in fp32, adapters unmerged".
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  TemporaryFolder folder_;
  std::string name_;
};

}  // namespace d2c::host
