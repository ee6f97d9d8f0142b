#include "plugins/lora_unsloth/config.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>

namespace d2c::lora {
namespace {

constexpr std::int64_t kMaxRank = 1 << 16;
constexpr std::size_t kMaxEntries = 1 << 16;
constexpr std::size_t kMaxPatterns = 1 << 13;

struct Unsupported {
  const char* key;
  const char* meaning;
};

/// Keys that make the adapter something else than additive low-rank matrices when they are set.
constexpr Unsupported kUnsupported[] = {
    {"alora_invocation_tokens", "an activated LoRA works from an invocation token on and cannot be merged"},
    {"arrow_config", "Arrow routes between several adapters at run time and cannot be merged"},
    {"kasa_config", "KaSA changes the base weights as well; convert the adapter to plain LoRA first"},
    {"layer_replication", "layers would have to be copied; export the expanded model and its adapter instead"},
    {"megatron_config",
     "Megatron's split linear layers are not supported; save the adapter for the Hugging Face model"},
    {"monteclora_config", "Monte Carlo LoRA is not supported; convert the adapter to plain LoRA first"},
    {"target_parameters", "adapters of single parameters (mixture-of-experts weights) are not supported"},
    {"use_bdlora", "block-diagonal LoRA is not supported; convert the adapter to plain LoRA first"},
    {"use_qalora", "QA-LoRA pools the inputs of A and is not supported; convert the adapter to plain LoRA first"},
    {"velora_config", "VeLoRA is not supported; convert the adapter to plain LoRA first"},
};

constexpr const char* kKnown[] = {"auto_mapping",
                                  "base_model_name_or_path",
                                  "bias",
                                  "corda_config",
                                  "ensure_weight_tying",
                                  "eva_config",
                                  "exclude_modules",
                                  "fan_in_fan_out",
                                  "inference_mode",
                                  "init_lora_weights",
                                  "layers_pattern",
                                  "layers_to_transform",
                                  "loftq_config",
                                  "lora_alpha",
                                  "lora_bias",
                                  "lora_dropout",
                                  "lora_ga_config",
                                  "megatron_core",
                                  "modules_to_save",
                                  "peft_type",
                                  "peft_version",
                                  "qalora_group_size",
                                  "r",
                                  "rank_pattern",
                                  "alpha_pattern",
                                  "revision",
                                  "runtime_config",
                                  "target_modules",
                                  "task_type",
                                  "trainable_token_indices",
                                  "use_dora",
                                  "use_rslora"};

bool is_set(const Value& v) {
  if (v.is_null()) return false;
  if (v.is_bool()) return v.as_bool();
  if (v.is_list()) return !v.items().empty();
  if (v.is_table()) return !v.members().empty();
  return true;
}

class Reader {
 public:
  Reader(const Value& json, std::string where) : json_(json), where_(std::move(where)) {}

  AdapterConfig read() {
    if (!json_.is_table()) fail_input(where_ + ": expected a JSON object, found " + json_.kind_name());
    check_kind();
    check_unsupported();
    read_numbers();
    read_flags();
    read_selection();
    read_patterns("rank_pattern", config_.rank_pattern);
    read_patterns("alpha_pattern", config_.alpha_pattern);
    check_ranks();
    config_.modules_to_save = strings("modules_to_save");
    read_trainable_tokens();
    read_initialisation();
    read_base_model();
    collect_unknown_keys();
    return std::move(config_);
  }

 private:
  [[noreturn]] void refuse(const std::string& key, const std::string& why) const {
    fail_input(where_ + ": \"" + key + "\": " + why);
  }

  [[noreturn]] void wrong_kind(const std::string& key, const char* wanted, const Value& found) const {
    refuse(key, std::string("expected ") + wanted + ", found " + found.kind_name());
  }

  void check_kind() const {
    const Value* type = json_.find("peft_type");
    if (type == nullptr) refuse("peft_type", "missing; is this an adapter saved by PEFT? A LoRA adapter says \"LORA\"");
    if (!type->is_text()) wrong_kind("peft_type", "a string", *type);
    if (type->as_text() != "LORA")
      refuse("peft_type", "adapters of type '" + type->as_text() + "' are not supported, only LORA");
  }

  void check_unsupported() const {
    for (const Unsupported& u : kUnsupported) {
      const Value* v = json_.find(u.key);
      if (v != nullptr && is_set(*v)) refuse(u.key, u.meaning);
    }
  }

  const Value& required(const char* key, const std::string& why) const {
    const Value* v = json_.find(key);
    if (v == nullptr) refuse(key, "missing; " + why);
    return *v;
  }

  void read_numbers() {
    const Value& r = required("r", "PEFT would silently assume 8: add the rank the adapter was trained with");
    config_.rank = rank(r, "r");
    const Value& alpha =
        required("lora_alpha", "PEFT would silently assume 8: add the value the adapter was trained with");
    config_.alpha = finite(alpha, "lora_alpha");
  }

  std::int64_t rank(const Value& v, const std::string& key) const {
    if (!v.is_integer()) wrong_kind(key, "an integer", v);
    const std::int64_t r = v.as_int();
    if (r <= 0 || r > kMaxRank) refuse(key, "a rank of " + std::to_string(r) + " is impossible (1 to 65536)");
    return r;
  }

  double finite(const Value& v, const std::string& key) const {
    if (!v.is_number()) wrong_kind(key, "a number", v);
    if (!std::isfinite(v.as_real())) refuse(key, "is not finite");
    return v.as_real();
  }

  bool flag(const char* key) const {
    const Value* v = json_.find(key);
    if (v == nullptr) return false;
    if (!v->is_bool()) wrong_kind(key, "true or false", *v);
    return v->as_bool();
  }

  void read_flags() {
    config_.rank_stabilised = flag("use_rslora");
    config_.dora = flag("use_dora");
    config_.lora_bias = flag("lora_bias");
    config_.ties_weights = flag("ensure_weight_tying");
    if (config_.dora && config_.lora_bias)
      refuse("lora_bias", "cannot be combined with use_dora (PEFT refuses it too)");
    const Value* bias = json_.find("bias");
    if (bias == nullptr) return;
    if (!bias->is_text()) wrong_kind("bias", "\"none\", \"all\" or \"lora_only\"", *bias);
    const std::string& mode = bias->as_text();
    if (mode == "all") config_.bias = BiasMode::all;
    else if (mode == "lora_only") config_.bias = BiasMode::lora_only;
    else if (mode != "none") refuse("bias", "'" + mode + "' is none of \"none\", \"all\", \"lora_only\"");
  }

  std::vector<std::string> strings(const char* key) const {
    const Value* v = json_.find(key);
    if (v == nullptr) return {};
    if (v->is_text()) return {v->as_text()};
    if (!v->is_list()) wrong_kind(key, "a list of strings", *v);
    check_count(v->items().size(), key);
    std::vector<std::string> out;
    for (const Value& item : v->items()) {
      if (!item.is_text() || item.as_text().empty())
        refuse(key,
               std::string("holds ") + (item.is_text() ? "an empty string" : item.kind_name()) + ", expected names");
      out.push_back(item.as_text());
    }
    return out;
  }

  void check_count(std::size_t n, const char* key) const {
    if (n > kMaxEntries) refuse(key, std::to_string(n) + " entries; the limit is 65536");
  }

  ModuleSelector selector(const char* key) const {
    ModuleSelector s;
    const Value* v = json_.find(key);
    if (v != nullptr && v->is_text()) s.pattern.emplace(v->as_text(), where_ + ": \"" + key + "\"");
    else s.list = NameList(strings(key));
    return s;
  }

  void read_selection() {
    const Value& targets = required("target_modules", "list the modules the adapter was trained on");
    if (targets.is_text() && lower(targets.as_text()) == "all-linear") config_.targets.all_linear = true;
    else config_.targets = selector("target_modules");
    config_.excluded = selector("exclude_modules");
    read_layers();
  }

  static std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return text;
  }

  void read_layers() {
    const Value* v = json_.find("layers_to_transform");
    if (v == nullptr || !is_set(*v)) return;
    config_.layers = v->is_integer() ? std::vector<std::int64_t>{v->as_int()} : integers(*v, "layers_to_transform");
    if (config_.targets.pattern)
      refuse("layers_to_transform", "has no effect on a target_modules expression; PEFT refuses it too");
    const std::string where = where_ + ": \"layers_pattern\"";
    for (const std::string& p : strings("layers_pattern"))
      config_.layer_patterns.emplace_back("(?:^|.*?\\.)" + p + "\\.(\\d+)\\.", where);
    if (config_.layer_patterns.empty()) config_.layer_patterns.emplace_back("(?:^|.*?\\.)[^.]*\\.(\\d+)\\.", where);
  }

  std::vector<std::int64_t> integers(const Value& v, const char* key) const {
    if (!v.is_list()) wrong_kind(key, "a list of integers", v);
    if (v.items().size() > (1u << 24)) refuse(key, "too many entries");
    std::vector<std::int64_t> out;
    for (const Value& item : v.items()) {
      if (!item.is_integer() || item.as_int() < 0)
        refuse(key, std::string("expected indices from 0 on, found ") +
                        (item.is_integer() ? std::to_string(item.as_int()) : item.kind_name()));
      out.push_back(item.as_int());
    }
    return out;
  }

  void read_patterns(const char* key, std::vector<PatternSetting>& out) const {
    const Value* v = json_.find(key);
    if (v == nullptr) return;
    if (!v->is_table()) wrong_kind(key, "an object", *v);
    if (v->members().size() > kMaxPatterns)
      refuse(key, std::to_string(v->members().size()) + " patterns; the limit is 8192");
    for (const auto& [expression, value] : v->members()) {
      const std::string name = std::string(key) + "." + expression;
      // The check that the bare key compiles keeps an unbalanced ")" from changing the meaning of what surrounds it.
      const Pattern bare(expression, where_ + ": \"" + key + "\"");
      out.push_back({Pattern("(.*\\.)?(" + expression + ")$", where_ + ": \"" + key + "\""), finite(value, name)});
    }
  }

  void check_ranks() const {
    const Value* v = json_.find("rank_pattern");
    if (v == nullptr) return;
    for (const auto& [expression, value] : v->members()) (void)rank(value, "rank_pattern." + expression);
  }

  void read_trainable_tokens() {
    const Value* v = json_.find("trainable_token_indices");
    if (v == nullptr || !is_set(*v)) return;
    if (!v->is_table()) {
      config_.trainable_tokens.emplace_back("", integers(*v, "trainable_token_indices"));
      return;
    }
    for (const auto& [module, indices] : v->members())
      config_.trainable_tokens.emplace_back(module, integers(indices, "trainable_token_indices"));
  }

  void read_initialisation() {
    const Value* v = json_.find("init_lora_weights");
    if (v == nullptr || v->is_bool()) return;
    if (!v->is_text()) wrong_kind("init_lora_weights", "a boolean or a string", *v);
    const std::string kind = lower(v->as_text());
    if (kind == "gaussian" || kind == "eva" || kind == "orthogonal" || kind == "mica") return;
    if (kind == "olora") {
      config_.initialisation = Initialisation::olora;
      config_.warnings.push_back(
          where_ +
          ": a raw 'olora' adapter: what the initialisation took out of the base is computed from "
          "the base again, as PEFT does; give the model as it was before training");
      return;
    }
    if (kind == "lora_ga" || kind == "loftq") {
      config_.warnings.push_back(
          where_ + ": the adapter was initialised with '" + kind +
          "', which changes the base weights: it is right only on the base model that was saved with it");
      return;
    }
    if (kind.rfind("pissa", 0) == 0 || kind.rfind("corda", 0) == 0) {
      refuse("init_lora_weights",
             "a raw '" + kind +
                 "' adapter belongs to residual base weights that are not in any file; save it again with "
                 "path_initial_model_for_weight_conversion, which makes it a plain LoRA");
    }
    refuse("init_lora_weights", "'" + kind + "' is not known; it may change the base weights");
  }

  void read_base_model() {
    const Value* v = json_.find("base_model_name_or_path");
    if (v == nullptr) return;
    if (!v->is_text()) wrong_kind("base_model_name_or_path", "a string", *v);
    config_.base_model = v->as_text();
    if (config_.base_model.find("bnb-4bit") != std::string::npos) {
      config_.warnings.push_back(
          where_ + ": the adapter was trained on '" + config_.base_model +
          "', a 4-bit bitsandbytes model; merged into full-precision weights it behaves slightly differently");
    }
  }

  void collect_unknown_keys() {
    for (const auto& [key, value] : json_.members()) {
      const auto same = [&key = key](const auto& entry) {
        if constexpr (requires { entry.key; }) return key == entry.key;
        else return key == entry;
      };
      const bool known = std::any_of(std::begin(kKnown), std::end(kKnown), same) ||
                         std::any_of(std::begin(kUnsupported), std::end(kUnsupported), same);
      if (!known) config_.unknown_keys.push_back(key);
    }
  }

  const Value& json_;
  std::string where_;
  AdapterConfig config_;
};

const PatternSetting* first_match(const std::vector<PatternSetting>& settings, std::string_view module) {
  const auto it = std::find_if(settings.begin(), settings.end(),
                               [&](const PatternSetting& s) { return s.pattern.match_group(module).has_value(); });
  return it == settings.end() ? nullptr : &*it;
}

bool selects(const ModuleSelector& selector, std::string_view module) {
  return selector.pattern ? selector.pattern->matches_whole(module) : !selector.list.matches(module).empty();
}

/// PEFT narrows by layer only what a suffix selects, not a module listed by its whole path.
bool in_selected_layer(const AdapterConfig& config, std::string_view module) {
  if (config.layers.empty()) return true;
  for (const Pattern& pattern : config.layer_patterns) {
    const auto number = pattern.match_group(module);
    if (!number) continue;
    return std::any_of(config.layers.begin(), config.layers.end(),
                       [&](std::int64_t layer) { return std::to_string(layer) == *number; });
  }
  return false;
}

}  // namespace

std::int64_t AdapterConfig::rank_of(std::string_view module) const {
  const PatternSetting* setting = first_match(rank_pattern, module);
  return setting == nullptr ? rank : static_cast<std::int64_t>(setting->value);
}

std::int64_t AdapterConfig::largest_rank() const {
  std::int64_t most = rank;
  for (const PatternSetting& s : rank_pattern) most = std::max(most, static_cast<std::int64_t>(s.value));
  return most;
}

double AdapterConfig::scaling_of(std::string_view module) const {
  const PatternSetting* setting = first_match(alpha_pattern, module);
  const double a = setting == nullptr ? alpha : setting->value;
  const auto r = static_cast<double>(rank_of(module));
  return a / (rank_stabilised ? std::sqrt(r) : r);
}

bool AdapterConfig::targets_module(std::string_view module, bool linear) const {
  if (!excluded.empty() && selects(excluded, module)) return false;
  // PEFT wraps a module to be saved before it looks at the targets, and compares without a dot boundary.
  const auto saved = [&](const std::string& name) { return module.ends_with(name); };
  if (std::any_of(modules_to_save.begin(), modules_to_save.end(), saved)) return false;
  if (targets.all_linear) return linear;
  if (targets.pattern) return targets.pattern->matches_whole(module);
  if (targets.list.holds_exactly(module)) return true;
  return !targets.list.matches(module).empty() && in_selected_layer(*this, module);
}

AdapterConfig parse_config(const Value& json, const std::string& where) { return Reader(json, where).read(); }

}  // namespace d2c::lora
