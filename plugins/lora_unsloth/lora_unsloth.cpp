#include "plugins/lora_unsloth/lora_unsloth.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace d2c::lora {
namespace {

JoinSettings settings_of(const Value& options) {
  JoinSettings settings;
  settings.density = options.real_or("density", settings.density);
  if (options.text_or("majority_sign_method", "total") == "frequency") settings.majority = Majority::frequency;
  settings.seed = static_cast<std::uint64_t>(options.int_or("seed", 0));
  settings.svd_rank = options.int_or("svd_rank", 0);
  return settings;
}

std::vector<Adapter> open_adapters(const Value& list) {
  if (list.items().empty()) fail_usage("adapters: the list is empty");
  std::vector<Adapter> adapters;
  for (const Value& entry : list.items()) {
    const double weight = entry.real_or("weight", 1);
    if (!std::isfinite(weight)) fail_usage("adapters: a weight must be a finite number");
    adapters.emplace_back(entry.at("path").as_text(), weight);
  }
  return adapters;
}

void report_config(const Host& host, const Adapter& adapter) {
  for (const std::string& warning : adapter.config().warnings) host.warn(warning);
  const std::vector<std::string>& unknown = adapter.config().unknown_keys;
  if (!unknown.empty())
    host.info(adapter.directory() + ": unknown keys of the config are ignored, as PEFT does: " + enumerate(unknown));
}

std::string ranks_of(const AdapterConfig& config) {
  double least = static_cast<double>(config.rank), most = least;
  for (const PatternSetting& s : config.rank_pattern) {
    least = std::min(least, s.value);
    most = std::max(most, s.value);
  }
  const auto text = [](double rank) { return std::to_string(static_cast<std::int64_t>(rank)); };
  return least == most ? text(least) : text(least) + ".." + text(most);
}

std::string describe(const Adapter& adapter) {
  std::string text = adapter.name();
  if (adapter.weight() != 1) {
    char weight[32];
    std::snprintf(weight, sizeof weight, " x %g", adapter.weight());
    text += weight;
  }
  return text + " (" + (adapter.config().dora ? "DoRA, " : "") + "r=" + ranks_of(adapter.config()) + ")";
}

std::string describe(const std::vector<Adapter>& adapters, std::size_t tensors) {
  std::string text;
  for (const Adapter& a : adapters) text += (text.empty() ? "" : " + ") + describe(a);
  return text + ", " + std::to_string(tensors) + " tensors";
}

/// "unsloth/Llama-3-8B-bnb-4bit" -> "llama-3-8b": the same weights go by many paths.
std::string bare_name(std::string name) {
  while (!name.empty() && name.back() == '/') name.pop_back();
  name = name.substr(name.find_last_of('/') + 1);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const std::string_view suffix : {"-bnb-4bit", "-unsloth"})
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  return name;
}

/// What the adapter's config says of its base where that does not agree with the model, or cannot be compared with it.
struct Origin {
  std::string sentence;
  bool mismatch = false;
};

Origin origin_of(const Adapter& adapter, const BaseModel& base) {
  const std::string& trained_on = adapter.config().base_model;
  const std::string given = base.config.text_or("_name_or_path", "");
  if (trained_on.empty() || bare_name(trained_on) == bare_name(given)) return {};
  if (given.empty()) return {adapter.name() + " says that it was trained on '" + trained_on + "'", false};
  return {adapter.name() + " was trained on '" + trained_on + "', and the model calls itself '" + given + "'", true};
}

int flags_of(const TensorChanges& changes) {
  return (changes.low_rank() ? D2C_TARGET_LOW_RANK : 0) | (changes.needs_prepare() ? D2C_TARGET_PREPARE : 0) |
         (changes.tied ? D2C_TARGET_HEAD_FOLLOWS : 0);
}

}  // namespace

LoraUnsloth::LoraUnsloth(const Host& host, const Config& config)
    : host_(host),
      combination_(parse_combination(config.get_or("combination", "sequential"), settings_of(config.value()))),
      adapters_(open_adapters(config.value().at("adapters"))) {
  for (const Adapter& adapter : adapters_) {
    report_config(host, adapter);
    const std::vector<std::string> files = adapter.files();
    files_.insert(files_.end(), files.begin(), files.end());
  }
  if (combination_.kind != Combination::Kind::sequential && adapters_.front().config().rank_stabilised)
    host.warn(
        adapters_.front().directory() + ": combination '" + combination_.name +
        "' keeps use_rslora of its first adapter, as PEFT does, and so multiplies everything with the root of the "
        "joined rank; use 'sequential' for the plain sum");
}

void LoraUnsloth::bind(const BaseModel& base) {
  const BaseIndex index(base);
  // PEFT knows but one way to join a single adapter.
  const bool alone = adapters_.size() == 1 && combination_.kind != Combination::Kind::sequential;
  changes_ = combine(adapters_, alone ? parse_combination("linear", combination_.settings) : combination_, index);
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    by_tensor_.emplace(changes_[i].tensor, i);
    const TensorChanges& changes = changes_[i];
    const bool grown = changes.shape != *index.find(changes.tensor);
    targets_.push_back({changes.tensor, static_cast<int>(changes.rank()), flags_of(changes),
                        grown ? rows_of(changes.shape) : 0, changes.job_bytes()});
  }
  summary_ = describe(adapters_, changes_.size());
  if (combination_.kind == Combination::Kind::joined) summary_ += ", joined by " + combination_.name;
  for (const Adapter& adapter : adapters_) {
    const Origin origin = origin_of(adapter, base);
    if (!origin.sentence.empty()) summary_ += "; " + origin.sentence;
    if (origin.mismatch) host_.warn(origin.sentence + "; on another model than its own an adapter does harm");
  }
}

std::unique_ptr<MergeJob> LoraUnsloth::begin(const std::string& tensor) { return make_job(changes_of(tensor)); }

Factor LoraUnsloth::factor(const std::string& tensor, d2c_factor_side side, bool with_values) const {
  const TensorChanges& changes = changes_of(tensor);
  if (!changes.low_rank())
    fail_input(tensor + ": the adapters do more to it than adding low-rank matrices, so it has no factors");
  return make_factor(changes, side, with_values);
}

const TensorChanges& LoraUnsloth::changes_of(const std::string& tensor) const {
  const auto it = by_tensor_.find(tensor);
  if (it == by_tensor_.end()) fail(Code::plugin, "no adapter of the stack changes '" + tensor + "'");
  return changes_[it->second];
}

}  // namespace d2c::lora
