#include "host/recipe/layers.hpp"

#include "host/recipe/check.hpp"
#include "host/recipe/keys.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <set>

namespace d2c::host {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxExtends = 16;

// ---------------------------------------------------------------- merging

/// The entry's merge key, its default where it is not written.
std::string merge_key_of(const SectionSpec& section, const Node& entry) {
  const Node* written = entry.find(section.merge_key);
  if (written != nullptr && written->kind == Node::Kind::scalar && written->scalar.is_text())
    return written->scalar.as_text();
  const KeySpec* key = find_key(section, section.merge_key);
  return key->default_json == nullptr ? std::string() : json::parse(key->default_json, key->name).as_text();
}

/// Drops what was inherited for another plugin or model than the one now chosen.
void drop_options_of_subject(const SectionSpec& section, Node& table) {
  std::erase_if(table.members, [&](const Node::Member& member) {
    if (const KeySpec* key = find_key(section, member.first)) return key->of_subject;
    return find_subsection(section, member.first) == nullptr;
  });
  for (auto& [key, node] : table.members)
    if (const SectionSpec* child = find_subsection(section, key); child != nullptr && child->subject != nullptr)
      std::erase_if(node.items, [&](const Node& entry) { return entry.find(child->subject) == nullptr; });
}

bool is_subject(const SectionSpec& section, std::string_view key) {
  return section.subject != nullptr && section.subject == key;
}

void note_new_subject(const SectionSpec& section, Node& base, const Node* chosen) {
  if (section.subject == nullptr || chosen == nullptr) return;
  const Node* inherited = base.find(section.subject);
  if (inherited != nullptr && inherited->value() != chosen->value()) drop_options_of_subject(section, base);
}

void merge_plain(Node& base, Node&& layer) {
  if (base.kind != Node::Kind::table || layer.kind != Node::Kind::table) {
    base = std::move(layer);
    return;
  }
  for (auto& [key, node] : layer.members) merge_plain(base.at_or_add(key, node.origin), std::move(node));
}

void merge_section(const SectionSpec& section, Node& base, Node&& layer);

void merge_table(const SectionSpec& section, Node& base, Node&& layer) {
  note_new_subject(section, base, section.subject == nullptr ? nullptr : layer.find(section.subject));
  for (auto& [key, node] : layer.members) {
    Node& into = base.at_or_add(key, node.origin);
    if (const SectionSpec* child = find_subsection(section, key)) merge_section(*child, into, std::move(node));
    else merge_plain(into, std::move(node));
  }
}

/// A list is what the latest layer says it is; an empty one removes what was inherited.
void merge_entries(const SectionSpec& section, Node& base, Node&& layer) {
  if (base.kind != Node::Kind::list || layer.items.empty()) {
    base = std::move(layer);
    return;
  }
  if (section.repetition == Repetition::replaced) {
    std::set<std::string> keys;
    for (const Node& entry : layer.items) keys.insert(merge_key_of(section, entry));
    std::erase_if(base.items, [&](const Node& entry) { return keys.contains(merge_key_of(section, entry)); });
  }
  for (Node& entry : layer.items) {
    const std::string key = merge_key_of(section, entry);
    const auto same = std::find_if(base.items.begin(), base.items.end(),
                                   [&](const Node& other) { return merge_key_of(section, other) == key; });
    if (section.repetition == Repetition::merged && same != base.items.end())
      merge_table(section, *same, std::move(entry));
    else base.items.push_back(std::move(entry));
  }
}

void merge_section(const SectionSpec& section, Node& base, Node&& layer) {
  if (layer.kind == Node::Kind::list && section.repetition != Repetition::once)
    merge_entries(section, base, std::move(layer));
  else if (layer.kind == Node::Kind::table && base.kind == Node::Kind::table)
    merge_table(section, base, std::move(layer));
  else base = std::move(layer);
}

// ---------------------------------------------------------------- files

/// "synthetic:...": not a path, whatever files there are.
bool has_scheme(const std::string& text) {
  const std::size_t colon = text.find(':');
  return colon != std::string::npos && colon > 1 &&
         std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon),
                     [](unsigned char c) { return std::isalnum(c) != 0; });
}

/// A path relative to the recipe; "org/name" stays an id unless such a file lies beside the recipe.
void resolve_path(Value& value, const fs::path& folder) {
  const std::string& text = value.as_text();
  if (text.empty() || has_scheme(text) || fs::path(text).is_absolute()) return;
  std::error_code ignored;
  // ".." leads out of the folder itself, not out of a link to it.
  const fs::path resolved = (fs::weakly_canonical(folder, ignored) / text).lexically_normal();
  if (text.starts_with("./") || text.starts_with("../") || fs::exists(resolved, ignored)) value = resolved.string();
}

void resolve_paths_in_table(const SectionSpec& section, Node& table, const fs::path& folder) {
  for (const KeySpec& key : section.keys)
    if (Node* node = key.is_path ? table.find(key.name) : nullptr) resolve_path(node->scalar, folder);
}

void resolve_paths(Node& document, const fs::path& folder) {
  for (const SectionSpec& section : recipe_sections()) {
    Node* node = document.find(section.name);
    if (node == nullptr) continue;
    if (node->kind == Node::Kind::table) resolve_paths_in_table(section, *node, folder);
    for (Node& entry : node->items) resolve_paths_in_table(section, entry, folder);
  }
}

fs::path folder_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : fs::path("."); }

fs::path find_base(const Node& extends, const fs::path& folder) {
  const std::string& name = extends.scalar.as_text();
  if (name.empty()) fail_usage(extends.origin + ": 'extends' is empty; leave it out or name a recipe");
  const fs::path beside = (folder / name).lexically_normal();
  std::error_code ignored;
  if (fs::exists(beside, ignored)) return beside;
  if (fs::path(name).has_parent_path()) fail_usage(extends.origin + ": " + beside.string() + " does not exist");
  try {
    return find_recipe(name);
  } catch (const Error& e) {
    fail_usage(extends.origin + ": " + e.what());
  }
}

Node load_chain(const fs::path& file, std::vector<fs::path>& chain) {
  std::error_code ignored;
  chain.push_back(fs::weakly_canonical(file, ignored));
  Node document = read_document(file.string());
  check_document(document);
  resolve_paths(document, folder_of(file));
  const Node* extends = document.find("extends");
  if (extends == nullptr) return document;

  const fs::path base_file = find_base(*extends, folder_of(file));
  if (std::find(chain.begin(), chain.end(), fs::weakly_canonical(base_file, ignored)) != chain.end())
    fail_usage(extends->origin + ": " + base_file.string() + " extends this recipe, directly or through others");
  if (chain.size() == kMaxExtends)
    fail_usage(extends->origin + ": more than " + std::to_string(kMaxExtends) + " recipes extend each other");
  document.erase("extends");
  Node merged = load_chain(base_file, chain);
  merge_document(merged, std::move(document));
  return merged;
}

// ---------------------------------------------------------------- overrides

struct KeyPart {
  std::string name;
  std::optional<std::size_t> index;  ///< kAppend: the next one
};

constexpr std::size_t kAppend = std::numeric_limits<std::size_t>::max();

[[noreturn]] void fail_key(const Override& o) {
  fail_usage(o.origin + ": '" + o.key + "' is not a key; write it like quantize.bits, adapter[0].weight or adapter[+]");
}

std::optional<std::size_t> parse_index(std::string_view text, const Override& o) {
  if (text.empty()) return std::nullopt;
  if (text == "[+]") return kAppend;
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), index);
  if (text.size() < 3 || error != std::errc() || end != text.data() + text.size() - 1 || text.back() != ']')
    fail_key(o);
  return index;
}

KeyPart parse_part(std::string_view part, const Override& o) {
  const std::size_t bracket = std::min(part.find('['), part.size());
  const std::string_view name = part.substr(0, bracket);
  const bool is_bare_key = std::all_of(name.begin(), name.end(),
                                       [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
  if (name.empty() || !is_bare_key) fail_key(o);
  return {std::string(name), parse_index(part.substr(bracket), o)};
}

std::vector<KeyPart> parse_key(const Override& o) {
  constexpr std::size_t kMaxParts = 32;
  std::vector<KeyPart> parts;
  for (std::size_t start = 0; start <= o.key.size();) {
    const std::size_t end = std::min(o.key.find('.', start), o.key.size());
    parts.push_back(parse_part(std::string_view(o.key).substr(start, end - start), o));
    if (parts.size() > kMaxParts) fail_key(o);
    start = end + 1;
  }
  return parts;
}

/// The entry of a list, appended where the index is the next one.
Node& entry_at(Node& list, const KeyPart& part, const Override& o) {
  if (list.kind == Node::Kind::table && list.members.empty()) list.kind = Node::Kind::list;
  if (list.kind != Node::Kind::list)
    fail_usage(o.origin + ": " + part.name + " is " + list.kind_name() + ", not a list");
  const std::size_t count = list.items.size();
  const std::size_t index = *part.index == kAppend ? count : *part.index;
  if (index > count)
    fail_usage(o.origin + ": " + part.name + " has " + std::to_string(count) +
               " entries, so the index may be at most " + std::to_string(count) + " (which appends one)");
  if (index == count) list.items.emplace_back().origin = o.origin;
  return list.items[index];
}

Node& member_at(Node& table, const KeyPart& part, const Override& o) {
  if (table.kind != Node::Kind::table)
    fail_usage(o.origin + ": '" + o.key + "' does not exist: what stands before '" + part.name + "' is " +
               table.kind_name());
  Node& member = table.at_or_add(part.name, o.origin);
  return part.index ? entry_at(member, part, o) : member;
}

std::string section_name(std::span<const KeyPart> parts) {
  std::string name;
  for (const KeyPart& part : parts) name += (name.empty() ? "" : ".") + part.name;
  return name;
}

void apply_override(Node& document, const Override& o) {
  if (o.key == "extends") fail_usage(o.origin + ": 'extends' can only stand in a recipe file");
  const std::vector<KeyPart> parts = parse_key(o);
  Node* table = &document;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) table = &member_at(*table, parts[i], o);
  const KeyPart& last = parts.back();
  Node value = parse_value(o.value, o.origin);

  const SectionSpec* around = find_section(section_name(std::span(parts).first(parts.size() - 1)));
  if (around != nullptr && is_subject(*around, last.name)) note_new_subject(*around, *table, &value);
  Node& target = member_at(*table, last, o);
  const SectionSpec* whole = find_section(section_name(parts));
  if (whole != nullptr && !last.index) merge_section(*whole, target, std::move(value));
  else target = std::move(value);
}

bool chooses_subject(const Override& o) {
  const std::size_t dot = o.key.rfind('.');
  if (dot == std::string::npos) return false;
  const std::string_view key = std::string_view(o.key).substr(dot + 1);
  return std::any_of(recipe_sections().begin(), recipe_sections().end(),
                     [&](const SectionSpec& s) { return is_subject(s, key); });
}

}  // namespace

Node load_layers(const fs::path& file) {
  std::vector<fs::path> chain;
  return load_chain(file, chain);
}

void merge_document(Node& base, Node layer) { merge_table(*find_section(""), base, std::move(layer)); }

void apply_overrides(Node& document, std::span<const Override> overrides) {
  for (const bool first_pass : {true, false})
    for (const Override& o : overrides)
      if (chooses_subject(o) == first_pass) apply_override(document, o);
}

}  // namespace d2c::host
