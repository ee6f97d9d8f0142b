// Brings what a recipe names by an id to this machine, through whichever fetcher knows such ids.
#pragma once

#include "host/loader/plugin_registry.hpp"
#include "host/progress/progress.hpp"
#include "host/recipe/recipe.hpp"

namespace d2c::host {

/// The recipe with a folder for each model and adapter that is no local path (Recipe::folders), and with their
/// revisions pinned to what they are now. Paths that exist stay what they are, and so does what no fetcher knows.
[[nodiscard]] Recipe fetch_inputs(Recipe recipe, PluginRegistry& plugins, Progress& progress);

}  // namespace d2c::host
