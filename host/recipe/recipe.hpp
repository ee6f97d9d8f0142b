// A resolved recipe: what a conversion was asked to do, with the place every value came from.
#pragma once

#include <d2c/plugin.hpp>
#include <d2c/value.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::host {

/// Where a key of the recipe was written: "recipe.toml:12:3", "--set quantize.bits" or "--wbits".
struct Origin {
  std::string text;
};

struct ModelSection {
  std::string source;  ///< directory, file or hub id; relative paths are resolved against the recipe's folder
  std::string plugin;  ///< empty: the weight source whose probe scores highest
  std::string revision;
  Value options = Value::table();  ///< every other key, checked against the plugin's options
};

struct AdapterSection {
  std::string path;
  std::string revision;
  double weight = 1;
  std::string stack = "chat";  ///< "chat", "encoder" or a variant's name
  std::string plugin;          ///< an adapter merger; base.toml says which is the default
};

struct AdaptersSection {
  std::string plugin;
  std::string combination = "sequential";
  std::string tied = "untie";  ///< "untie" | "shared"
  Value options = Value::table();
};

/// Another set of adapters on the chat model's base, with functions of its own.
struct VariantSection {
  std::string name;
  std::string weights;  ///< "shared+adapter", "separate"; empty: what the adapters need
  std::string combination = "sequential";
};

struct FunctionSection {
  std::string name;
  std::string plugin;
  std::string stack = "chat";  ///< whose weights it reads: "chat", "encoder" (see encoder.weights) or a variant's name
  Value options = Value::table();
  std::string where;  ///< the options' table, for check_options: "function[2].options"
};

/// Quantizer and its options for the weights that a glob over tensor names or a role matches.
struct QuantizeRule {
  std::string match;               ///< a role ("attention", "mlp", "embedding", "lm_head") or a glob over tensor names
  std::string plugin;              ///< empty: the section's
  Value options = Value::table();  ///< overrides of the section's options
  Origin origin;
};

struct QuantizeSection {
  std::string plugin;              ///< "none": dense in the graph's precision
  std::uint64_t max_overflow = 0;  ///< values of a weight that may lie beyond fp16's range
  Value options = Value::table();
  std::vector<QuantizeRule> rules;  ///< the last that matches wins
};

struct OutputSection {
  std::string path;
  std::string writer;
  Value options = Value::table();
};

struct PluginPin {
  std::string name;
  std::string path;     ///< empty: searched
  std::string version;  ///< empty: any
  std::string sha256;   ///< empty: any
  Origin origin;
};

struct Recipe {
  std::string name;  ///< of the recipe file, without ".toml"
  ModelSection model;
  std::vector<AdapterSection> adapters;
  AdaptersSection combine;
  Value graph;    ///< [graph]: context (absent: min(config, 2048)), prefill, kv, attention, precision, functions
  Value encoder;  ///< [encoder]: weights (absent: by the adapters), pooling, max_length, model, ...
  std::vector<VariantSection> variants;
  /// Those that graph.functions names, in its order; then the encoder's for encoder.lengths and the variants'.
  std::vector<FunctionSection> functions;
  QuantizeSection quantize;
  Value target;  ///< [target]: deployment, compute_units
  OutputSection output;
  Value verify;  ///< [verify]
  std::vector<PluginPin> plugins;

  /// Everything above as one value, defaults included: what `recipe show` prints and the package carries.
  Value resolved;
  /// Dotted key ("quantize.rule[1].bits") to where it was set.
  std::map<std::string, Origin> origins;

  /// Where what is named by an id was brought to, by key ("model.source", "encoder.model", "adapter[0].path"): see
  /// host/fetch.
  std::map<std::string, std::string> folders;

  /// That folder, or else the path that the key holds.
  [[nodiscard]] const std::string& folder_of(const std::string& key, const std::string& path) const;

  /// How the adapters of a stack are combined.
  [[nodiscard]] std::string combination_of(const std::string& stack) const;

  /// The origin of a key or of the nearest enclosing table, for error messages.
  [[nodiscard]] Origin origin_of(const std::string& key) const;
};

/// One "--set key=value" or shorthand flag, already split. A value is TOML; a bare word is a string.
struct Override {
  std::string key;
  std::string value;
  std::string origin;  ///< as the user typed it: "--set quantize.bits=6", "--wbits 6"
};

/// Reads a recipe file with everything it extends (relative to the extending file), applies the overrides in order,
/// fills defaults and checks every key and type that does not belong to a plugin.
/// Errors are Error(usage): "FILE:LINE:COLUMN: unknown key 'bitz' in [quantize]; did you mean 'bits'?".
/// Keys that only a plugin knows are kept; `check_options` judges them once plugins are loaded.
[[nodiscard]] Recipe load_recipe(const std::filesystem::path& file, std::span<const Override> overrides);

/// The options as the plugin will see them: unknown keys and wrong types refused with their origin and the nearest
/// name, values outside `allowed` refused, defaults filled in. `where` is the dotted table, e.g. "quantize".
[[nodiscard]] Value check_options(const Recipe& recipe, const std::string& where, const Value& options,
                                  std::span<const d2c_option_spec* const> specs);

/// JSON Schema (draft 2020-12) of recipes, made from the table that validates them. `plugin_options`: per section
/// ("quantize", "model", "output", ...) the specs of the plugins that may stand there.
[[nodiscard]] Value recipe_schema(const std::map<std::string, std::vector<const d2c_option_spec*>>& plugin_options);

/// The resolved recipe as a package may carry it: local paths are cut to their last component and the output path is
/// left out, so that it tells nothing about the machine and is the same wherever the conversion ran.
[[nodiscard]] Value publishable(const Recipe& recipe);

/// The resolved recipe as TOML, a valid recipe by itself; each written value is followed by where it was written.
[[nodiscard]] std::string to_toml(const Recipe& recipe);

/// `text` as a TOML string, for the value of an Override.
[[nodiscard]] std::string toml_string(std::string_view text);

/// Tables of all keys in Markdown, made from the table that validates recipes.
[[nodiscard]] std::string recipe_reference();

/// The folder of the shipped recipes: <exe>/../share/dolphin2coreml/configs.
[[nodiscard]] std::filesystem::path shipped_recipes();

/// A recipe by path, or by the name of a shipped one with or without ".toml". Error(usage) naming what exists.
[[nodiscard]] std::filesystem::path find_recipe(const std::string& name_or_path);

/// File names of the shipped recipes, sorted.
[[nodiscard]] std::vector<std::string> list_shipped_recipes();

}  // namespace d2c::host
