#include "host/verify/encoder_relief.hpp"

#include "host/convert/conversion.hpp"
#include "host/log/log.hpp"
#include "host/progress/progress.hpp"
#include "host/verify/embedding_agreement.hpp"
#include "host/verify/source_package.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cctype>
#include <limits>
#include <set>
#include <string_view>

namespace d2c::host {
namespace {

constexpr std::int64_t kFinerBits = 8;

/// "model.layers.3.mlp.up_proj.weight" -> "model.layers.*.mlp.up_proj.weight".
std::string kind_of(const std::string& tensor) {
  std::string kind;
  for (std::size_t i = 0; i < tensor.size(); ++i) {
    const bool number =
        std::isdigit(static_cast<unsigned char>(tensor[i])) != 0 && (kind.ends_with('.') || kind.ends_with('*'));
    if (!number) kind += tensor[i];
    else if (!kind.ends_with('*')) kind += '*';
  }
  return kind;
}

bool has_bits(PluginRegistry& plugins, const std::string& quantizer) {
  const auto options = plugins.find(quantizer)->options(D2C_QUANTIZER);
  return std::any_of(options.begin(), options.end(),
                     [](const d2c_option_spec* o) { return std::string_view(o->name) == "bits"; });
}

double least(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::min_element(values.begin(), values.end());
}

class Search {
 public:
  Search(Recipe recipe, PluginRegistry& plugins, std::span<const ReferenceSentence> sentences,
         const RunnerOptions& runner)
      : recipe_(std::move(recipe)), plugins_(plugins), sentences_(sentences), runner_(runner) {
    // Longer texts have the same weights as shorter ones.
    std::erase_if(recipe_.functions,
                  [](const FunctionSection& f) { return f.stack != "encoder" || !f.options.members().empty(); });
    if (recipe_.functions.empty()) fail_input("the package has no encoder whose weights could be stored better");
    for (const ReferenceSentence& s : sentences_)
      reference_.insert(reference_.end(), s.embedding.begin(), s.embedding.end());
  }

  ReliefSearch run(double min_cosine) {
    ReliefSearch found;
    found.as_it_is = measure({});
    for (const FinerRule& rule : candidates()) {
      log::info("storing " + rule.match + " with " + std::to_string(rule.bits) + " bits");
      found.alone.push_back(relative(measure({rule}), found.as_it_is));
    }
    std::stable_sort(found.alone.begin(), found.alone.end(),
                     [](const Relief& a, const Relief& b) { return a.least_cosine > b.least_cosine; });
    found.enough = relative(found.as_it_is, found.as_it_is);
    std::vector<FinerRule> rules;
    for (const Relief& best : found.alone) {
      if (found.enough.least_cosine >= min_cosine) break;
      rules.push_back(best.rules.front());
      found.enough = rules.size() == 1 ? best : relative(measure(rules), found.as_it_is);
    }
    found.as_it_is.added_bytes = 0;
    return found;
  }

 private:
  static Relief relative(Relief relief, const Relief& to) {
    relief.added_bytes -= to.added_bytes;
    return relief;
  }

  /// Every kind of weight that is stored with fewer bits than it could have.
  std::vector<FinerRule> candidates() const {
    std::set<std::string> seen;
    std::vector<FinerRule> rules;
    const Value plan = Conversion(recipe_, plugins_).plan({});
    for (const Value& w : plan.at("weights").items()) {
      const std::string& role = w.at("role").as_text();
      if (w.int_or("bits", 16) >= kFinerBits || role == "lora") continue;
      const std::string kind = kind_of(w.at("tensor").as_text());
      if (!seen.insert(kind).second) continue;
      rules.push_back({kind, has_bits(plugins_, recipe_.quantize.plugin) ? kFinerBits : 16});
    }
    return rules;
  }

  /// `added_bytes` is the size of all weights.
  Relief measure(const std::vector<FinerRule>& rules) const {
    Recipe recipe = recipe_;
    for (const FinerRule& rule : rules) {
      QuantizeRule added{rule.match, rule.bits == 16 ? "none" : "", Value::table(), {"the search for finer weights"}};
      if (rule.bits != 16) added.options.set("bits", rule.bits);
      recipe.quantize.rules.push_back(std::move(added));
    }
    const TemporaryFolder folder;
    RunOptions options;
    options.output = folder.path() / "encoder.mlpackage";
    options.resume = false;
    options.threads = runner_.threads;
    const Value report = Conversion(recipe, plugins_).run(options, *make_progress(true));
    const Model model(plugins_, options.output.string(), runner_);
    const Embedder embedder(model);
    std::vector<EncoderInput> inputs;
    for (const ReferenceSentence& s : sentences_) inputs.push_back(s.sentence.input);
    const std::vector<float> rows = embedder.embed(inputs);
    const auto width = static_cast<std::size_t>(embedder.width());
    const EmbeddingAgreement agreement = compare({reference_, width}, {rows, width});
    return {rules, report.at("weight_bytes").as_int(), least(agreement.cosines), least(agreement.centred_cosines)};
  }

  Recipe recipe_;
  PluginRegistry& plugins_;
  std::span<const ReferenceSentence> sentences_;
  RunnerOptions runner_;
  std::vector<float> reference_;
};

Value to_value(const Relief& relief) {
  Value v = Value::table(), rules = Value::list();
  for (const FinerRule& rule : relief.rules) {
    Value r = Value::table();
    r.set("match", rule.match);
    r.set("bits", rule.bits);
    rules.push_back(std::move(r));
  }
  v.set("rules", std::move(rules));
  v.set("added_bytes", relief.added_bytes);
  v.set("least_cosine", relief.least_cosine);
  v.set("least_centred_cosine", relief.least_centred_cosine);
  return v;
}

}  // namespace

ReliefSearch search_encoder_relief(const Recipe& recipe, PluginRegistry& plugins,
                                   std::span<const ReferenceSentence> sentences, double min_cosine,
                                   const RunnerOptions& runner) {
  return Search(recipe, plugins, sentences, runner).run(min_cosine);
}

Value to_value(const ReliefSearch& search) {
  Value v = Value::table(), alone = Value::list();
  for (const Relief& relief : search.alone) alone.push_back(to_value(relief));
  v.set("as_it_is", to_value(search.as_it_is));
  v.set("alone", std::move(alone));
  v.set("enough", to_value(search.enough));
  return v;
}

}  // namespace d2c::host
