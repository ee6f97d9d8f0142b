#include "host/verify/source_package.hpp"

#include "host/convert/conversion.hpp"
#include "host/inference/attachments.hpp"
#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace d2c::host {
namespace {

namespace fs = std::filesystem;

/// The chat adapters' stack once they are not merged.
constexpr const char* kUnmerged = "unmerged";
constexpr const char* kAllLogits = "all_logits";

bool has_adapters(const Recipe& recipe, const std::string& stack) {
  return std::any_of(recipe.adapters.begin(), recipe.adapters.end(),
                     [&](const AdapterSection& a) { return a.stack == stack; });
}

/// What [[variant]] adds is not compared.
void drop_variants(Recipe& recipe) {
  const auto is_variant = [](const std::string& stack) { return stack != "chat" && stack != "encoder"; };
  std::erase_if(recipe.functions, [&](const FunctionSection& f) { return is_variant(f.stack); });
  std::erase_if(recipe.adapters, [&](const AdapterSection& a) { return is_variant(a.stack); });
  recipe.variants.clear();
}

/// Chat adapters become those of a variant, which stay beside the base's weights if they can, and functions read those.
void unmerge(Recipe& recipe) {
  const std::string weights = recipe.encoder.text_or("weights", "");
  const bool encoder_reads_chat = !has_adapters(recipe, "encoder") && (weights.empty() || weights == "shared") &&
                                  recipe.encoder.text_or("model", "").empty();
  recipe.encoder.set("weights", nullptr);
  if (!has_adapters(recipe, "chat")) return;
  recipe.variants.push_back({kUnmerged, "", recipe.combine.combination});
  for (AdapterSection& a : recipe.adapters)
    if (a.stack == "chat") a.stack = kUnmerged;
  for (FunctionSection& f : recipe.functions)
    if (f.stack == "chat" || encoder_reads_chat) f.stack = kUnmerged;
}

void ask_for_all_logits(Recipe& recipe, PluginRegistry& plugins) {
  for (FunctionSection& f : recipe.functions)
    for (const d2c_option_spec* option : plugins.find(f.plugin)->options(D2C_FUNCTION_EMITTER))
      if (std::strcmp(option->name, kAllLogits) == 0) f.options.set(kAllLogits, true);
}

Recipe unquantized(Recipe recipe, PluginRegistry& plugins) {
  recipe.quantize = QuantizeSection();
  recipe.quantize.plugin = "none";
  recipe.graph.set("precision", "fp32");
  drop_variants(recipe);
  unmerge(recipe);
  ask_for_all_logits(recipe, plugins);
  return recipe;
}

bool keeps_low_rank_factors(const Value& report) {
  const auto& roles = report.at("roles").items();
  return std::any_of(roles.begin(), roles.end(), [](const Value& r) { return r.at("role").as_text() == "lora"; });
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "dolphin2coreml-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    fail(Code::resource,
         name + ": cannot be made: " + std::strerror(errno) + "; set TMPDIR to a folder that can hold it");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Recipe carried_recipe(PluginRegistry& plugins, const std::string& package, std::span<const Override> overrides) {
  const auto files = attachments(plugins, package);
  const auto file = files.find("recipe.json");
  if (file == files.end())
    fail_input(package +
               ": carries no recipe.json, so nothing says how to convert its source; compare it with a golden "
               "file (--golden)");
  Recipe carried;
  carried.resolved = json::parse_file(file->second.string());
  carried.resolved.set("adapter", Value::list());
  const TemporaryFolder folder;
  const fs::path toml = folder.path() / (carried.resolved.text_or("name", "recipe") + ".toml");
  std::ofstream(toml) << to_toml(carried);
  return load_recipe(toml, overrides);
}

SourcePackage::SourcePackage(const Recipe& recipe, PluginRegistry& plugins, unsigned threads, Progress& progress) {
  RunOptions options;
  options.output = path();
  options.resume = false;
  options.threads = threads;
  const Value report = Conversion(unquantized(recipe, plugins), plugins).run(options, progress);
  name_ = recipe.model.source + ", unquantized in fp32";
  if (!recipe.adapters.empty()) name_ += keeps_low_rank_factors(report) ? ", adapters unmerged" : ", adapters merged";
}

}  // namespace d2c::host
