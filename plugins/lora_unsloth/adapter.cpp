#include "plugins/lora_unsloth/adapter.hpp"

#include "libs/json/json.hpp"
#include "plugins/lora_unsloth/keys.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string_view>

namespace d2c::lora {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr const char* kPickleFile = "adapter_model.bin";
constexpr std::size_t kMaxConfigBytes = 16u << 20;

std::string absolute_directory(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::weakly_canonical(path, error);
  if (error || !fs::is_directory(absolute, error)) {
    fail_input(path + ": no such folder; an adapter is a folder with " + kConfigFile + " and " + kWeightsFile);
  }
  return absolute.string();
}

std::string weights_file(const std::string& directory) {
  const fs::path weights = fs::path(directory) / kWeightsFile;
  std::error_code error;
  if (fs::exists(weights, error)) return weights.string();
  if (fs::exists(fs::path(directory) / kPickleFile, error)) {
    fail_input(
        directory + ": the adapter is stored only as " + kPickleFile +
        ", a pickle, which can run code when it is read. Convert it where you trust it: "
        "safetensors.torch.save_file(torch.load('adapter_model.bin', weights_only=True), 'adapter_model.safetensors')");
  }
  fail_input(directory + ": " + kWeightsFile + " is missing; save the adapter with PEFT's save_pretrained");
}

AdapterConfig read_config(const std::string& directory) {
  const std::string path = (fs::path(directory) / kConfigFile).string();
  std::error_code error;
  if (!fs::exists(path, error))
    fail_input(directory + ": " + kConfigFile + " is missing; an adapter folder saved by PEFT has it");
  return parse_config(json::parse_file(path, kMaxConfigBytes), path);
}

/// The tensors of one module of the model.
using ModuleTensors = std::map<Part, StoredTensor>;

const StoredTensor* find(const ModuleTensors& tensors, Part part) {
  const auto it = tensors.find(part);
  return it == tensors.end() ? nullptr : &it->second;
}

bool has_factors(const ModuleTensors& tensors) {
  static constexpr Part kFactors[] = {Part::lora_a,      Part::lora_b,      Part::lora_b_bias,
                                      Part::embedding_a, Part::embedding_b, Part::magnitude};
  return std::any_of(std::begin(kFactors), std::end(kFactors), [&](Part p) { return tensors.count(p) != 0; });
}

/// Matches one adapter with one base model.
class Binder {
 public:
  Binder(const Adapter& adapter, const std::shared_ptr<const safetensors::File>& file, const BaseIndex& base)
      : adapter_(adapter), config_(adapter.config()), base_(base) {
    for (const safetensors::Tensor& t : file->tensors()) entries_.push_back({parse_key(t.name), StoredTensor(file, t)});
  }

  std::vector<TensorChanges> bind() {
    if (entries_.empty()) fail_input(in_weights() + "holds no tensors");
    choose_spelling();
    sort_tensors();
    find_vocabulary();
    check_targets();
    check_saved_modules();
    check_biases();
    check_token_rows();
    check_modules();
    check_whole_tensors();
    check_weight_tying();
    refuse(in_weights(), misshapen_, "tensors do not fit the base model or the config's rank: ",
           "; use the base model the adapter was trained on");
    check_finite();
    return collect();
  }

 private:
  struct Entry {
    Key key;
    StoredTensor tensor;
  };

  struct Scaling {
    std::int64_t rank;
    double factor;  ///< what B*A is multiplied with, beside the adapter's weight
  };

  [[nodiscard]] std::string in_config() const { return adapter_.directory() + "/" + kConfigFile + ": "; }
  [[nodiscard]] std::string in_weights() const { return adapter_.directory() + "/" + kWeightsFile + ": "; }

  static void refuse(const std::string& where, const std::vector<std::string>& names, const std::string& problem,
                     const std::string& advice) {
    if (!names.empty()) fail_input(where + problem + enumerate(names) + advice);
  }

  [[nodiscard]] std::string what_the_base_offers() const {
    const std::string trained_on =
        config_.base_model.empty() ? "" : " ('" + config_.base_model + "' according to its config)";
    return ". The base model has " + base_.description() + "; use the model the adapter was trained on" + trained_on;
  }

  // ---- names

  /// Adapters of a bare LlamaModel, such as LLM2Vec's, leave out the "model." that the full model puts in front.
  void choose_spelling() {
    const auto hits = [&](const std::string& prefix) {
      return std::count_if(entries_.begin(), entries_.end(),
                           [&](const Entry& e) { return matches(prefix + e.key.owner, e.key.part); });
    };
    if (hits("model.") > hits("")) prefix_ = "model.";
  }

  [[nodiscard]] bool matches(const std::string& owner, Part part) const {
    if (part == Part::whole) return base_.find(owner) != nullptr;
    const Shape* shape = base_.find(owner + std::string(kWeight));
    return shape != nullptr && shape->size() == 2;
  }

  /// The base's name as the adapter's config spells it; nothing for what lies outside of the adapter's model.
  [[nodiscard]] std::optional<std::string_view> spelled(std::string_view name) const {
    if (!name.starts_with(prefix_)) return std::nullopt;
    return name.substr(prefix_.size());
  }

  /// Where the tensor belongs, and whether it is the first there.
  std::pair<const StoredTensor*, bool> take(const std::string& owner, const Entry& e) {
    if (e.key.part == Part::whole) {
      const auto [at, added] = whole_.emplace(owner, e.tensor);
      return {&at->second, added};
    }
    const auto [at, added] = modules_[owner].emplace(e.key.part, e.tensor);
    return {&at->second, added};
  }

  void sort_tensors() {
    std::vector<std::string> unmatched, repeated;
    for (const Entry& e : entries_) {
      if (e.key.part == Part::original) continue;
      const std::string owner = prefix_ + e.key.owner;
      if (!matches(owner, e.key.part)) {
        unmatched.push_back(e.tensor.name());
        continue;
      }
      // Where a vocabulary grew, PEFT writes a saved module twice.
      const auto [same, added] = take(owner, e);
      if (!added && !same->equals(e.tensor)) repeated.push_back(e.tensor.name());
    }
    refuse(in_weights(), unmatched, "tensors match nothing in the base model: ", what_the_base_offers());
    refuse(in_weights(), repeated, "tensors stand twice under different spellings and differ: ", "; keep one of each");
  }

  // ---- vocabulary

  /// Tokens added before training give the embedding or the head more rows than the base has; the other one, where it is
  /// not in the file, grows along.
  void find_vocabulary() {
    const auto look_at = [&](const std::string& module, const StoredTensor* stored) {
      const Shape* base = base_.find(module + std::string(kWeight));
      if (stored == nullptr || base == nullptr || !of_vocabulary(module) || stored->shape().size() != 2) return;
      const Shape& shape = stored->shape();
      if (shape[1] == (*base)[1] && shape[0] > (*base)[0]) vocabulary_ = std::max(vocabulary_, shape[0]);
    };
    for (const auto& [tensor, stored] : whole_) look_at(module_of(tensor), &stored);
    for (const auto& [module, tensors] : modules_) look_at(module, find(tensors, Part::base_weight));
  }

  [[nodiscard]] static bool of_vocabulary(std::string_view module) {
    return is_embedding(module) || is_output_head(module);
  }

  /// The base's, or what it has grown to.
  [[nodiscard]] Shape shape_of(const std::string& tensor) const {
    Shape shape = *base_.find(tensor);
    if (vocabulary_ != 0 && tensor.ends_with(kWeight) && of_vocabulary(module_of(tensor))) shape[0] = vocabulary_;
    return shape;
  }

  // ---- config against file

  [[nodiscard]] Scaling scaling_of(std::string_view module) const {
    const Scaling scaling{config_.rank_of(module), config_.scaling_of(module)};
    const double largest =
        std::max({std::abs(scaling.factor), std::abs(adapter_.weight()), std::abs(adapter_.weight() * scaling.factor)});
    if (largest <= std::numeric_limits<float>::max()) return scaling;
    fail_input(in_config() + "the scaling of " + std::string(module) +
               " is beyond the range of fp32; check lora_alpha");
  }

  void check_targets() {
    std::vector<std::string> missing, untargeted;
    std::set<std::string_view> used;
    for (const std::string& module : base_.matrix_modules()) {
      const auto name = spelled(module);
      if (!name) continue;
      const auto names = config_.targets.list.matches(*name);
      used.insert(names.begin(), names.end());
      const auto it = modules_.find(module);
      const bool present = it != modules_.end() && has_factors(it->second);
      if (config_.targets_module(*name, !is_embedding(module) && !is_output_head(module))) {
        targeted_.emplace(module, scaling_of(*name));
        if (!present) missing.push_back(module);
      } else if (present) {
        untargeted.push_back(module);
      }
    }
    std::vector<std::string> unused;
    for (const std::string& name : config_.targets.list.names())
      if (used.count(name) == 0) unused.push_back(name);
    refuse(in_config(), unused,
           "target_modules names modules that the base model does not have: ", what_the_base_offers());
    refuse(in_weights(), missing, "the config targets modules for which the file has no tensors: ",
           "; the file and adapter_config.json do not belong together");
    refuse(in_weights(), untargeted, "the file has tensors for modules that the config does not target: ",
           "; the file and adapter_config.json do not belong together");
    if (targeted_.empty() && !config_.targets.empty())
      fail_input(in_config() + "target_modules selects no module" + what_the_base_offers());
  }

  /// A saved module is any whose path ends in a listed name, without a dot boundary, and everything below it.
  [[nodiscard]] static bool covers(const std::string& listed, std::string_view tensor) {
    for (std::size_t dot = tensor.rfind('.'); dot != std::string_view::npos && dot > 0;
         dot = tensor.rfind('.', dot - 1))
      if (tensor.substr(0, dot).ends_with(listed)) return true;
    return false;
  }

  [[nodiscard]] bool is_saved(std::string_view tensor) const {
    const auto name = spelled(tensor);
    return name && std::any_of(config_.modules_to_save.begin(), config_.modules_to_save.end(),
                               [&](const auto& listed) { return covers(listed, *name); });
  }

  void check_saved_modules() const {
    std::vector<std::string> unused, missing;
    for (const std::string& listed : config_.modules_to_save) {
      const auto covered = [&](const std::string& tensor) {
        return spelled(tensor) && covers(listed, *spelled(tensor));
      };
      if (std::none_of(base_.tensors().begin(), base_.tensors().end(), covered)) unused.push_back(listed);
    }
    for (const std::string& tensor : base_.tensors())
      if (is_saved(tensor) && whole_.count(tensor) == 0) missing.push_back(tensor);
    refuse(in_config(), unused,
           "modules_to_save names modules that the base model does not have: ", what_the_base_offers());
    refuse(in_weights(), missing, "modules_to_save lists modules whose tensors are not in the file: ",
           "; the file and adapter_config.json do not belong together");
  }

  /// Does the config promise a trained value for this bias?
  [[nodiscard]] bool trains_bias(const std::string& tensor) const {
    if (!tensor.ends_with(kBias) || !spelled(tensor)) return false;
    return config_.bias == BiasMode::all ||
           (config_.bias == BiasMode::lora_only && targeted_.count(module_of(tensor)) != 0);
  }

  void check_biases() const {
    std::vector<std::string> missing, unexpected;
    for (const std::string& tensor : base_.tensors()) {
      const auto it = modules_.find(module_of(tensor));
      const bool present =
          whole_.count(tensor) != 0 || (it != modules_.end() && it->second.count(Part::base_bias) != 0);
      if (trains_bias(tensor) && !present) missing.push_back(tensor);
    }
    for (const auto& [module, tensors] : modules_) {
      const StoredTensor* bias = find(tensors, Part::base_bias);
      if (bias != nullptr && !trains_bias(module + std::string(kBias))) unexpected.push_back(bias->name());
    }
    refuse(in_weights(), missing, "the config's \"bias\" promises trained biases that are not in the file: ",
           "; the file and adapter_config.json do not belong together");
    refuse(in_weights(), unexpected, "the file holds biases that the config's \"bias\" does not mention: ",
           "; the file and adapter_config.json do not belong together");
  }

  void check_whole_tensors() {
    std::vector<std::string> unexpected;
    for (const auto& [tensor, stored] : whole_) {
      // save_embedding_layers writes both of these along, named in the config or not.
      const bool embedding = tensor.ends_with(kWeight) && of_vocabulary(module_of(tensor));
      if (!is_saved(tensor) && !trains_bias(tensor) && !embedding) unexpected.push_back(stored.name());
      else expect(stored, shape_of(tensor));
    }
    refuse(in_weights(), unexpected,
           "the file replaces tensors that the config's modules_to_save and bias do not mention: ",
           "; the file and adapter_config.json do not belong together");
  }

  void check_token_rows() {
    std::vector<std::string> unexpected;
    for (const auto& [name, rows] : config_.trainable_tokens) add_token_rows(name, rows);
    for (const auto& [module, tensors] : modules_) {
      const StoredTensor* stored = find(tensors, Part::token_rows);
      if (stored != nullptr && token_rows_.count(module) == 0 && !repeats_token_rows(module, *stored))
        unexpected.push_back(stored->name());
    }
    refuse(in_weights(), unexpected, "the file has token rows that trainable_token_indices does not mention: ",
           "; the file and adapter_config.json do not belong together");
  }

  /// The head of a tied model may come along with the rows of its embedding.
  [[nodiscard]] bool repeats_token_rows(const std::string& module, const StoredTensor& stored) const {
    return base_.tied() && is_output_head(module) &&
           std::any_of(token_rows_.begin(), token_rows_.end(),
                       [&](const auto& t) { return is_embedding(t.first) && t.second.values.equals(stored); });
  }

  void add_token_rows(const std::string& listed, const std::vector<std::int64_t>& rows) {
    const NameList names({listed.empty() ? "embed_tokens" : listed});
    for (const std::string& module : base_.matrix_modules()) {
      const auto name = spelled(module);
      if (!name || names.matches(*name).empty()) continue;
      const auto it = modules_.find(module);
      const StoredTensor* stored = it == modules_.end() ? nullptr : find(it->second, Part::token_rows);
      if (stored == nullptr)
        fail_input(in_weights() + "trainable_token_indices lists rows of " + module + ", which are not in the file");
      if (has_factors(it->second))
        fail_input(in_weights() + module + " has both low-rank factors and trained token rows, which is not supported");
      check_rows(module, rows);
      expect(*stored, {static_cast<std::int64_t>(rows.size()), shape_of(module + std::string(kWeight))[1]});
      token_rows_.emplace(module, ReplaceRows{*stored, rows});
      return;
    }
    fail_input(in_config() + "trainable_token_indices names '" + listed + "'" + what_the_base_offers());
  }

  void check_rows(const std::string& module, const std::vector<std::int64_t>& rows) const {
    const std::int64_t count = shape_of(module + std::string(kWeight)).front();
    std::set<std::int64_t> seen;
    for (const std::int64_t row : rows) {
      if (row >= count)
        fail_input(in_config() + "trainable_token_indices: token " + std::to_string(row) +
                   " is outside of the base's vocabulary of " + std::to_string(count));
      if (!seen.insert(row).second)
        fail_input(in_config() + "trainable_token_indices: token " + std::to_string(row) + " stands twice");
    }
  }

  // ---- tensors of one module

  void check_modules() {
    std::vector<std::string> incomplete;
    for (const auto& [module, tensors] : modules_) {
      const Shape base = shape_of(module + std::string(kWeight));
      if (const StoredTensor* copy = find(tensors, Part::base_weight)) check_base_copy(module, *copy, base);
      if (targeted_.count(module) != 0) check_factors(module, tensors, base, incomplete);
    }
    refuse(in_weights(), incomplete, "tensors are missing or not meant by the config: ",
           "; the file and adapter_config.json do not belong together");
  }

  void check_base_copy(const std::string& module, const StoredTensor& copy, const Shape& base) {
    const bool follows = base_.tied() && is_output_head(module) && !token_rows_.empty();
    if (targeted_.count(module) == 0 && token_rows_.count(module) == 0 && !follows) {
      fail_input(in_weights() + copy.name() + " replaces a weight that the config does not target");
    }
    expect(copy, base);
  }

  void check_factors(const std::string& module, const ModuleTensors& tensors, const Shape& base,
                     std::vector<std::string>& incomplete) {
    const bool embedding = is_embedding(module);
    const std::int64_t rank = targeted_.at(module).rank;
    const auto require = [&](Part part, const char* name, bool wanted, Shape shape) {
      const StoredTensor* stored = find(tensors, part);
      if (wanted && stored == nullptr) incomplete.push_back(module + "." + name + " (missing)");
      else if (!wanted && stored != nullptr) incomplete.push_back(stored->name() + " (not meant)");
      else if (wanted) expect(*stored, shape);
    };
    require(Part::lora_a, "lora_A", !embedding, {rank, base[1]});
    require(Part::lora_b, "lora_B", !embedding, {base[0], rank});
    require(Part::embedding_a, "lora_embedding_A", embedding, {rank, base[0]});
    require(Part::embedding_b, "lora_embedding_B", embedding, {base[1], rank});
    require(Part::magnitude, "lora_magnitude_vector", config_.dora, {embedding ? base[1] : base[0]});
    require(Part::lora_b_bias, "lora_B.bias", config_.lora_bias && !embedding, {base[0]});
    if (config_.lora_bias && !embedding && base_.find(module + std::string(kBias)) == nullptr) {
      fail_input(in_config() + "lora_bias changes the bias of " + module + ", which has none in the base model");
    }
  }

  void expect(const StoredTensor& stored, const Shape& shape) {
    if (stored.shape() == shape) return;
    misshapen_.push_back(stored.name() + " has shape " + to_string(stored.shape()) + ", expected " + to_string(shape));
  }

  void check_weight_tying() const {
    if (!config_.ties_weights || !base_.tied()) return;
    const auto concerned = [](const std::string& name) { return is_embedding(name) || is_output_head(name); };
    const bool factors =
        std::any_of(targeted_.begin(), targeted_.end(), [&](const auto& t) { return concerned(t.first); });
    const bool saved =
        std::any_of(whole_.begin(), whole_.end(), [&](const auto& w) { return concerned(module_of(w.first)); });
    if (factors || saved)
      fail_input(in_config() +
                 "ensure_weight_tying adapts the tied embedding and head together, which is not supported");
  }

  void check_finite() const {
    std::vector<std::string> bad;
    for (const Entry& e : entries_)
      if (!e.tensor.finite()) bad.push_back(e.tensor.name());
    refuse(in_weights(), bad,
           "tensors hold NaN or infinite values: ", "; the training run diverged or the file is damaged");
  }

  // ---- the result

  std::vector<TensorChanges> collect() const {
    std::vector<TensorChanges> all;
    const bool shares = shares_embedding();
    for (const std::string& tensor : base_.tensors()) {
      TensorChanges changes{tensor, shape_of(tensor), {}};
      changes.tied = shares && tensor.ends_with(kWeight) && of_vocabulary(module_of(tensor));
      add_changes(changes);
      if (!changes.changes.empty()) all.push_back(std::move(changes));
    }
    return all;
  }

  [[nodiscard]] const StoredTensor* whole(bool (*is_it)(std::string_view)) const {
    const auto it = std::find_if(whole_.begin(), whole_.end(), [&](const auto& w) {
      return w.first.ends_with(kWeight) && is_it(module_of(w.first));
    });
    return it == whole_.end() ? nullptr : &it->second;
  }

  /// On a tied base: does all that the adapter does to the embedding hold for the head as well? Token rows do, and so do
  /// layers saved whole that training knew as one.
  [[nodiscard]] bool shares_embedding() const {
    if (!base_.tied()) return false;
    for (const auto& [module, tensors] : modules_)
      if (of_vocabulary(module) && (has_factors(tensors) || find(tensors, Part::base_weight) != nullptr)) return false;
    const StoredTensor *embedding = whole(is_embedding), *head = whole(is_output_head);
    if (embedding != nullptr && head != nullptr) return embedding->equals(*head);
    return head == nullptr && (embedding == nullptr || !is_saved_embedding());
  }

  /// modules_to_save trains a copy of the embedding alone; without it the file holds the one tensor there is.
  [[nodiscard]] bool is_saved_embedding() const {
    return std::any_of(whole_.begin(), whole_.end(),
                       [&](const auto& w) { return is_embedding(module_of(w.first)) && is_saved(w.first); });
  }

  void add_changes(TensorChanges& out) const {
    const std::string module = module_of(out.tensor);
    const bool is_weight = out.tensor.ends_with(kWeight);
    const StoredTensor* replacement = nullptr;
    if (const auto it = whole_.find(out.tensor); it != whole_.end()) replacement = &it->second;
    else if (out.tied && is_weight && is_output_head(module)) replacement = whole(is_embedding);
    else if (base_.tied() && is_weight && is_output_head(module)) replacement = grown_base();
    if (replacement != nullptr) {
      require_full_weight(out.tensor);
      out.changes.emplace_back(Replace{*replacement});
    }
    const auto it = modules_.find(module);
    if (const std::int64_t rows = base_.find(out.tensor)->front();
        replacement == nullptr && out.shape.front() > rows && !has_base_copy(it))
      out.changes.emplace_back(FillRows{rows});
    if (it != modules_.end() && is_weight) add_weight_changes(it->first, it->second, out);
    if (it != modules_.end() && out.tensor.ends_with(kBias)) add_bias_changes(it->first, it->second, out);
    if (is_weight) add_token_changes(out);
  }

  /// The layer that embedding and head of a tied model shared in training, where it has grown.
  [[nodiscard]] const StoredTensor* grown_base() const {
    const auto at = std::find_if(modules_.begin(), modules_.end(), [](const auto& m) { return is_embedding(m.first); });
    return vocabulary_ == 0 || at == modules_.end() ? nullptr : find(at->second, Part::base_weight);
  }

  [[nodiscard]] bool has_base_copy(std::map<std::string, ModuleTensors>::const_iterator module) const {
    return module != modules_.end() && find(module->second, Part::base_weight) != nullptr;
  }

  void add_weight_changes(const std::string& module, const ModuleTensors& tensors, TensorChanges& out) const {
    if (const StoredTensor* copy = find(tensors, Part::base_weight)) out.changes.emplace_back(Replace{*copy, true});
    const auto target = targeted_.find(module);
    if (target == targeted_.end()) return;
    const auto [rank, scale] = target->second;
    const double weight = adapter_.weight();
    if (config_.initialisation == Initialisation::olora && !is_embedding(module)) {
      require_full_weight(out.tensor);
      out.changes.emplace_back(TakeOut{rank, scale});
    }
    if (is_embedding(module)) {
      // The embedding is looked up, not multiplied: its delta is (B*A)^T, so the factors change sides.
      out.changes.emplace_back(LowRank{.rank = rank,
                                       .b = {{tensors.at(Part::embedding_a), scale}},
                                       .a = {{tensors.at(Part::embedding_b), weight}},
                                       .transposed = true});
    } else {
      out.changes.emplace_back(
          LowRank{.rank = rank, .b = {{tensors.at(Part::lora_b), scale}}, .a = {{tensors.at(Part::lora_a), weight}}});
    }
    if (!config_.dora) return;
    require_full_weight(out.tensor);
    const StoredTensor& lengths = tensors.at(Part::magnitude);
    if (is_embedding(module)) out.changes.emplace_back(ColumnMagnitude{lengths});
    else out.changes.emplace_back(RowMagnitude{lengths});
  }

  void add_bias_changes(const std::string& module, const ModuleTensors& tensors, TensorChanges& out) const {
    if (const StoredTensor* bias = find(tensors, Part::base_bias)) {
      require_full_weight(out.tensor);
      out.changes.emplace_back(Replace{*bias});
    }
    if (const StoredTensor* delta = find(tensors, Part::lora_b_bias)) {
      out.changes.emplace_back(Add{{*delta, targeted_.at(module).factor * adapter_.weight()}});
    }
  }

  /// On a tied base the head reads the same rows as the embedding.
  void add_token_changes(TensorChanges& out) const {
    auto it = token_rows_.find(module_of(out.tensor));
    if (it == token_rows_.end() && base_.tied() && is_output_head(module_of(out.tensor))) {
      it = std::find_if(token_rows_.begin(), token_rows_.end(), [](const auto& t) { return is_embedding(t.first); });
    }
    if (it == token_rows_.end()) return;
    require_full_weight(out.tensor);
    out.changes.emplace_back(it->second);
  }

  /// What is replaced or normalised has no half.
  void require_full_weight(const std::string& tensor) const {
    if (adapter_.weight() == 1) return;
    fail_input(adapter_.directory() + ": weight " + std::to_string(adapter_.weight()) + " cannot be applied to " +
               tensor + ", which the adapter replaces, renormalises (DoRA) or takes something out of; use weight 1");
  }

  const Adapter& adapter_;
  const AdapterConfig& config_;
  const BaseIndex& base_;
  std::vector<Entry> entries_;
  std::string prefix_;
  std::map<std::string, ModuleTensors> modules_;  // by the base's module path
  std::map<std::string, StoredTensor> whole_;     // by the base's tensor name
  std::map<std::string, ReplaceRows> token_rows_;
  std::map<std::string, Scaling> targeted_;
  std::int64_t vocabulary_ = 0;  // rows of the embedding in the file where it has more than the base's, else 0
  std::vector<std::string> misshapen_;
};

}  // namespace

Adapter::Adapter(const std::string& directory, double weight)
    : directory_(absolute_directory(directory)),
      weight_(weight),
      config_(read_config(directory_)),
      file_(std::make_shared<const safetensors::File>(weights_file(directory_))) {}

std::string Adapter::name() const { return fs::path(directory_).filename().string(); }

std::vector<std::string> Adapter::files() const {
  return {file_->path(), (fs::path(directory_) / kConfigFile).string()};
}

std::vector<TensorChanges> Adapter::bind(const BaseIndex& base) const { return Binder(*this, file_, base).bind(); }

}  // namespace d2c::lora
