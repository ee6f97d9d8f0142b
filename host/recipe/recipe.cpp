#include "host/recipe/recipe.hpp"

#include "host/recipe/check.hpp"
#include "host/recipe/keys.hpp"
#include "host/recipe/layers.hpp"
#include "host/recipe/nearest.hpp"
#include "libs/json/json.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

// ---------------------------------------------------------------- defaults

Value resolve_table(const SectionSpec& section, const Value* written);

Value resolve_section(const SectionSpec& section, const Value* written) {
  if (section.repetition == Repetition::once) return resolve_table(section, written);
  Value list = Value::list();
  if (written == nullptr) return list;
  for (const Value& entry : written->items()) list.push_back(resolve_table(section, &entry));
  return list;
}

bool is_host_key(const SectionSpec& section, const std::string& key) {
  const auto names = names_in(section);
  return std::find(names.begin(), names.end(), key) != names.end();
}

/// Host keys in the order of the table, defaults filled in; then the plugin's options; then sub-sections.
Value resolve_table(const SectionSpec& section, const Value* written) {
  Value out = Value::table();
  for (const KeySpec& key : section.keys) {
    if (const Value* value = written == nullptr ? nullptr : written->find(key.name)) out.set(key.name, *value);
    else if (key.default_json != nullptr) out.set(key.name, json::parse(key.default_json, key.name));
  }
  if (written != nullptr)
    for (const auto& [key, value] : written->members())
      if (!is_host_key(section, key)) out.set(key, value);
  for (const SectionSpec& child : recipe_sections()) {
    if (*child.name == '\0' || parent_of(child) != section.name) continue;
    const Value* value = written == nullptr ? nullptr : written->find(leaf_of(child));
    out.set(leaf_of(child), resolve_section(child, value));
  }
  return out;
}

void collect_origins(const Node& node, const std::string& key, std::map<std::string, Origin>& origins) {
  if (!key.empty()) origins[key] = {node.origin};
  for (std::size_t i = 0; i < node.items.size(); ++i)
    collect_origins(node.items[i], key + "[" + std::to_string(i) + "]", origins);
  for (const auto& [name, member] : node.members)
    collect_origins(member, key.empty() ? name : key + "." + name, origins);
}

// ---------------------------------------------------------------- the typed view

Value plugin_options(const SectionSpec& section, const Value& table) {
  Value options = Value::table();
  for (const auto& [key, value] : table.members())
    if (!is_host_key(section, key)) options.set(key, value);
  return options;
}

Value plugin_options(const char* section, const Value& table) { return plugin_options(*find_section(section), table); }

ModelSection read_model(const Value& v) {
  return {v.text_or("source", ""), v.at("plugin").as_text(), v.at("revision").as_text(), plugin_options("model", v)};
}

std::vector<AdapterSection> read_adapters(const Value& list, const std::string& default_plugin) {
  std::vector<AdapterSection> adapters;
  for (const Value& v : list.items()) {
    const std::string& plugin = v.at("plugin").as_text();
    adapters.push_back({v.at("path").as_text(), v.at("revision").as_text(), v.at("weight").as_real(),
                        v.at("stack").as_text(), plugin.empty() ? default_plugin : plugin});
  }
  return adapters;
}

FunctionSection read_function(const Recipe& recipe, std::size_t index) {
  const Value& v = recipe.resolved.at("function").items()[index];
  const std::string where = "function[" + std::to_string(index) + "]";
  FunctionSection f{v.at("name").as_text(), v.at("plugin").as_text(), v.at("stack").as_text(), v.at("options"),
                    where + ".options"};
  if (f.plugin.empty())
    fail_usage(recipe.origin_of(where).text + ": function '" + f.name + "' names no plugin that emits it");
  return f;
}

/// Those that graph.functions names, in its order.
std::vector<FunctionSection> read_functions(const Recipe& recipe) {
  const std::string origin = recipe.origin_of("graph.functions").text;
  std::vector<std::string> names;
  for (const Value& v : recipe.resolved.at("function").items()) names.push_back(v.at("name").as_text());

  std::vector<FunctionSection> functions;
  for (const Value& wanted : recipe.graph.at("functions").items()) {
    const std::string& name = wanted.as_text();
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end())
      fail_usage(
          origin + ": graph.functions names '" + name + "', but no [[function]] has that name" +
          (names.empty() ? "; extend base.toml, which defines init, decode and encode" : did_you_mean(name, names)));
    if (std::any_of(functions.begin(), functions.end(), [&](const auto& f) { return f.name == name; }))
      fail_usage(origin + ": graph.functions names '" + name + "' twice");
    functions.push_back(read_function(recipe, static_cast<std::size_t>(it - names.begin())));
  }
  if (functions.empty()) fail_usage(origin + ": graph.functions is empty; a package has at least one function");
  return functions;
}

std::vector<VariantSection> read_variants(const Recipe& recipe, const Value& list) {
  std::vector<VariantSection> variants;
  for (const Value& v : list.items()) {
    variants.push_back({v.at("name").as_text(), v.text_or("weights", ""), v.at("combination").as_text()});
    const std::string& name = variants.back().name;
    const std::string origin = recipe.origin_of("variant[" + std::to_string(variants.size() - 1) + "]").text;
    if (name == "chat" || name == "encoder")
      fail_usage(origin + ": a variant cannot be called '" + name +
                 "', which is a stack of its own; choose another name");
    if (name.empty() ||
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != std::string::npos)
      fail_usage(origin + ": functions are called after the variant '" + name +
                 "', so its name consists of letters, digits and '_'");
  }
  return variants;
}

/// The texts' lengths in rising order, the longest known by name alone; encoder.max_length may follow from them.
std::vector<std::int64_t> resolve_lengths(Recipe& recipe) {
  std::vector<std::int64_t> lengths;
  for (const Value& v : recipe.encoder.at("lengths").items()) lengths.push_back(v.as_int());
  if (lengths.empty()) return lengths;
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  const std::int64_t longest = recipe.encoder.int_or("max_length", lengths.back());
  if (lengths.back() > longest)
    fail_usage(recipe.origin_of("encoder.lengths").text + ": encoder.lengths holds " + std::to_string(lengths.back()) +
               ", which is more than encoder.max_length = " + std::to_string(longest) + " (" +
               recipe.origin_of("encoder.max_length").text + ")");
  recipe.encoder.set("max_length", longest);
  if (lengths.back() == longest) lengths.pop_back();
  return lengths;
}

void add_function(Recipe& recipe, FunctionSection f) {
  const bool taken = std::any_of(recipe.functions.begin(), recipe.functions.end(),
                                 [&](const FunctionSection& other) { return other.name == f.name; });
  if (!taken) recipe.functions.push_back(std::move(f));
}

/// An encoder's function once more for each shorter length, and for batches of each length.
void add_lengths_and_batches(Recipe& recipe, const FunctionSection& f, const std::vector<std::int64_t>& lengths) {
  std::vector<FunctionSection> all{f};
  for (const std::int64_t length : lengths) {
    all.push_back(f);
    all.back().name += "_" + std::to_string(length);
    all.back().options.set("length", length);
    add_function(recipe, all.back());
  }
  const std::int64_t batch = recipe.encoder.at("batch").as_int();
  if (batch == 1) return;
  for (FunctionSection& several : all) {
    several.name += "_x" + std::to_string(batch);
    several.options.set("batch", batch);
    add_function(recipe, std::move(several));
  }
}

void add_derived_functions(Recipe& recipe) {
  const std::vector<std::int64_t> lengths = resolve_lengths(recipe);
  const std::vector<FunctionSection> written = recipe.functions;
  for (const FunctionSection& f : written) {
    if (f.stack == "encoder" && f.options.members().empty()) add_lengths_and_batches(recipe, f, lengths);
    if (f.stack != "chat") continue;
    for (const VariantSection& variant : recipe.variants) {
      FunctionSection other = f;
      other.name += "_" + variant.name;
      other.stack = variant.name;
      add_function(recipe, std::move(other));
    }
  }
}

/// Adapters and functions name stacks that there are.
void check_stacks(const Recipe& recipe) {
  std::vector<std::string> known{"chat", "encoder"};
  for (const VariantSection& variant : recipe.variants) known.push_back(variant.name);
  const auto check = [&](const std::string& stack, const std::string& where) {
    if (std::find(known.begin(), known.end(), stack) != known.end()) return;
    const std::string hint = did_you_mean(stack, known);
    fail_usage(recipe.origin_of(where).text + ": there is no stack '" + stack + "'" +
               (hint.empty() ? "; it is chat, encoder or the name of a [[variant]]" : hint));
  };
  for (std::size_t i = 0; i < recipe.adapters.size(); ++i)
    check(recipe.adapters[i].stack, "adapter[" + std::to_string(i) + "].stack");
  for (const FunctionSection& f : recipe.functions) check(f.stack, f.where);
}

QuantizeSection read_quantize(const Recipe& recipe, const Value& v) {
  QuantizeSection quantize{v.at("plugin").as_text(),
                           static_cast<std::uint64_t>(v.at("max_overflow").as_int()),
                           plugin_options("quantize", v),
                           {}};
  const auto& rules = v.at("rule").items();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Value& rule = rules[i];
    quantize.rules.push_back({rule.at("match").as_text(), rule.at("plugin").as_text(),
                              plugin_options("quantize.rule", rule),
                              recipe.origin_of("quantize.rule[" + std::to_string(i) + "]")});
  }
  return quantize;
}

std::vector<PluginPin> read_pins(const Recipe& recipe, const Value& list) {
  std::vector<PluginPin> pins;
  for (std::size_t i = 0; i < list.items().size(); ++i) {
    const Value& v = list.items()[i];
    pins.push_back({v.at("name").as_text(), v.at("path").as_text(), v.at("version").as_text(), v.at("sha256").as_text(),
                    recipe.origin_of("plugin[" + std::to_string(i) + "]")});
  }
  return pins;
}

void read_sections(Recipe& recipe) {
  const Value& v = recipe.resolved;
  const Value& adapters = v.at("adapters");
  recipe.model = read_model(v.at("model"));
  recipe.combine = {adapters.at("plugin").as_text(), adapters.at("combination").as_text(),
                    adapters.at("tied").as_text(), plugin_options("adapters", adapters)};
  recipe.adapters = read_adapters(v.at("adapter"), recipe.combine.plugin);
  recipe.graph = v.at("graph");
  recipe.encoder = v.at("encoder");
  recipe.variants = read_variants(recipe, v.at("variant"));
  recipe.functions = read_functions(recipe);
  check_stacks(recipe);
  add_derived_functions(recipe);
  recipe.quantize = read_quantize(recipe, v.at("quantize"));
  recipe.target = v.at("target");
  recipe.output = {v.at("output").text_or("path", ""), v.at("output").at("writer").as_text(),
                   plugin_options("output", v.at("output"))};
  recipe.verify = v.at("verify");
  recipe.plugins = read_pins(recipe, v.at("plugin"));
}

// ---------------------------------------------------------------- plugin options

/// A rule's options are the section's with some replaced, so the place may be the section's.
std::string origin_of_option(const Recipe& recipe, const std::string& where, const std::string& key) {
  const auto own = recipe.origins.find(where + "." + key);
  if (own != recipe.origins.end()) return own->second.text;
  const std::size_t index = where.rfind(".rule[");
  if (index == std::string::npos) return recipe.origin_of(where).text;
  return recipe.origin_of(where.substr(0, index) + "." + key).text;
}

std::string without_indices(const std::string& key) {
  std::string name;
  bool inside = false;
  for (const char c : key) {
    if (c == '[') inside = true;
    if (!inside) name += c;
    if (c == ']') inside = false;
  }
  return name;
}

[[noreturn]] void fail_unknown_option(const Recipe& recipe, const std::string& where, const std::string& key,
                                      std::span<const d2c_option_spec* const> specs) {
  const SectionSpec* section = find_section(without_indices(where));
  std::vector<std::string> names = section == nullptr ? std::vector<std::string>() : names_in(*section);
  for (const d2c_option_spec* spec : specs) names.emplace_back(spec->name);
  const std::string title = section == nullptr ? where : title_of(*section);
  fail_usage(origin_of_option(recipe, where, key) + ": unknown key '" + key + "' in " + title +
             did_you_mean(key, names));
}

}  // namespace

const std::string& Recipe::folder_of(const std::string& key, const std::string& path) const {
  const auto it = folders.find(key);
  return it == folders.end() ? path : it->second;
}

std::string Recipe::combination_of(const std::string& stack) const {
  for (const VariantSection& variant : variants)
    if (variant.name == stack) return variant.combination;
  return stack == "encoder" ? encoder.text_or("combination", "sequential") : combine.combination;
}

Origin Recipe::origin_of(const std::string& key) const {
  std::string prefix = key;
  while (!prefix.empty()) {
    if (const auto it = origins.find(prefix); it != origins.end()) return it->second;
    const std::size_t cut = prefix.find_last_of(".[");
    prefix.resize(cut == std::string::npos ? 0 : cut);
  }
  const auto file = origins.find("");
  return file == origins.end() ? Origin{name} : file->second;
}

Recipe load_recipe(const std::filesystem::path& file, std::span<const Override> overrides) {
  Node document = load_layers(file);
  apply_overrides(document, overrides);
  check_document(document);

  Recipe recipe;
  recipe.name = file.stem().string();
  collect_origins(document, "", recipe.origins);
  recipe.origins[""] = {file.string()};
  const Value written = document.value();
  recipe.resolved = resolve_table(*find_section(""), &written);
  read_sections(recipe);
  return recipe;
}

Value check_options(const Recipe& recipe, const std::string& where, const Value& options,
                    std::span<const d2c_option_spec* const> specs) {
  const auto spec_of = [&](const std::string& key) {
    const auto it = std::find_if(specs.begin(), specs.end(), [&](const auto* s) { return key == s->name; });
    return it == specs.end() ? nullptr : *it;
  };
  for (const auto& [key, value] : options.members()) {
    const d2c_option_spec* spec = spec_of(key);
    if (spec == nullptr) fail_unknown_option(recipe, where, key, specs);
    check_value(value, {spec->kind, spec->allowed_json}, where + "." + key, origin_of_option(recipe, where, key));
  }
  Value checked = options;
  for (const d2c_option_spec* spec : specs) {
    if (options.find(spec->name) != nullptr) continue;
    if (spec->default_json == nullptr)
      fail_usage(recipe.origin_of(where).text + ": " + where + " lacks '" + spec->name + "': " + spec->help);
    Value value = json::parse(spec->default_json, where + "." + spec->name);
    if (!value.is_null()) checked.set(spec->name, std::move(value));
  }
  return checked;
}

Value publishable(const Recipe& recipe) {
  Value out = recipe.resolved;
  const auto shorten = [](const SectionSpec& section, Value& table) {
    for (const KeySpec& key : section.keys)
      if (Value* value = key.is_path ? table.find(key.name) : nullptr)
        if (std::filesystem::path path(value->as_text()); path.has_parent_path() && std::filesystem::exists(path))
          *value = (path.has_filename() ? path : path.parent_path()).filename().string();
  };
  for (const SectionSpec& section : recipe_sections()) {
    Value* value = out.find(section.name);
    if (value == nullptr) continue;
    if (value->is_table()) shorten(section, *value);
    else
      for (Value& entry : value->items()) shorten(section, entry);
  }
  std::erase_if(out.find("output")->members(), [](const Value::Member& m) { return m.first == "path"; });
  return out;
}

}  // namespace d2c::host
