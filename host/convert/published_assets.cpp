#include "host/convert/published_assets.hpp"

#include "host/log/log.hpp"
#include "libs/json/json.hpp"
#include "libs/whole_file/whole_file.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

namespace d2c::host {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTokenizer[] = {"tokenizer.json",          "tokenizer.model",   "tokenizer_config.json",
                                      "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"};
constexpr std::uintmax_t kMaxBytes = 256u << 20;

std::vector<Asset> tokenizer_in(const fs::path& folder) {
  std::vector<Asset> assets;
  for (const char* name : kTokenizer) {
    std::error_code error;
    const fs::path path = folder / name;
    if (!fs::is_regular_file(path, error)) continue;
    assets.push_back({name, read_whole_file(path.string(), kMaxBytes)});
  }
  return assets;
}

/// config.json says how many tokens there are.
void set_vocabulary(std::vector<Asset>& assets, std::int64_t tokens) {
  for (Asset& asset : assets) {
    if (asset.name != "config.json") continue;
    Value config = json::parse(asset.data, asset.name);
    config.set("vocab_size", tokens);
    asset.data = json::dump(config, 2) + "\n";
  }
}

bool names_tokens(const std::vector<Asset>& assets) {
  return std::any_of(assets.begin(), assets.end(),
                     [](const Asset& a) { return a.name == kTokenizer[0] || a.name == kTokenizer[1]; });
}

}  // namespace

std::vector<Asset> published_assets(const Source& model, const AdapterStack* stack) {
  std::vector<Asset> assets = model.assets();
  if (stack == nullptr || !stack->grown_vocabulary()) return assets;
  set_vocabulary(assets, *stack->grown_vocabulary());
  std::vector<Asset> tokenizer;
  for (const std::string& file : stack->files()) {
    std::vector<Asset> found = tokenizer_in(fs::path(file).parent_path());
    if (names_tokens(found)) tokenizer = std::move(found);
  }
  if (tokenizer.empty()) {
    log::warn("stack " + stack->name() + ": its vocabulary grew to " + std::to_string(*stack->grown_vocabulary()) +
              " tokens, but no adapter's folder has the tokenizer that knows them; the model's own is used");
    return assets;
  }
  std::erase_if(assets, [](const Asset& a) {
    return std::find(std::begin(kTokenizer), std::end(kTokenizer), a.name) != std::end(kTokenizer);
  });
  assets.insert(assets.end(), std::make_move_iterator(tokenizer.begin()), std::make_move_iterator(tokenizer.end()));
  return assets;
}

}  // namespace d2c::host
