#include "host/cli/verify.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/fetch/fetch.hpp"
#include "host/inference/attachments.hpp"
#include "host/inference/text.hpp"
#include "host/log/log.hpp"
#include "host/progress/progress.hpp"
#include "host/progress/progress_text.hpp"
#include "host/verify/encoder_relief.hpp"
#include "host/verify/source_package.hpp"
#include "host/verify/verification.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>

namespace d2c::host::cli {
namespace {

/// Of prompts and sentences for a package whose tokenizer nobody has.
constexpr std::int32_t kMadeUpPrompts = 3, kMadeUpSentences = 6, kMadeUpTokens = 8;

std::string number(double value, const char* format = "%.4g") {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string now() {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&seconds));
  return text;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || file.bad()) fail_input(path + ": cannot be read; --text names a file of plain text");
  return text;
}

/// One run of the command over an opened package.
class Run {
 public:
  Run(const Arguments& arguments, const Recipe& recipe, PluginRegistry& plugins, std::string package)
      : arguments_(arguments),
        options_(arguments.verify),
        recipe_(recipe),
        plugins_(plugins),
        package_(std::move(package)),
        settings_(VerifySettings::parse(section())),
        model_(plugins, package_, options_.runner),
        text_(open_text()),
        verification_(model_, settings_, [this](auto tokens) { return text_ ? text_->text(tokens) : std::string(); }) {
    if (!options_.text.empty()) settings_.text = options_.text;
  }

  void compare_with_golden(const std::string& path) {
    const Reference golden = read_golden(path);
    if (golden.prompts.empty() && golden.sentences.empty()) log::warn(path + ": holds neither prompts nor sentences");
    verification_.compare(golden);
  }

  void warn_of_missing_adapters(bool named) const {
    const Value adapters = model_.metadata("d2c.adapters");
    const Value* stacks = adapters.find("stacks");
    if (named || stacks == nullptr || stacks->items().empty()) return;
    log::warn("the package was made with adapters (" + stacks->items().front().as_text() +
              "), the source is compared without any; unless it has them merged, name them with --adapter and "
              "--encoder-adapter");
  }

  void compare_with_source() {
    const std::vector<std::int32_t> text = text_tokens();
    if (!text_) log::info("there is no tokenizer, so prompts and sentences are made-up tokens");
    const SourcePackage package(recipe_, plugins_, options_.runner.threads,
                                *make_progress(arguments_.quiet || !arguments_.progress));
    const Model source(plugins_, package.path(), {options_.runner.plugin, "fp32", options_.runner.threads});
    Reference reference = record(source, prompts(), settings_.max_new_tokens, sentences());
    reference.name = package.name();
    verification_.compare(reference);
    if (options_.advise && !verification_.keeps_embeddings())
      relief_ = to_value(
          search_encoder_relief(recipe_, plugins_, reference.sentences, settings_.min_cosine, options_.runner));
    if (settings_.text.empty()) return;
    if (!text_)
      fail_input(package_ + ": there is no tokenizer for --text; name a folder that has one with --tokenizer");
    verification_.compare_on_text(source, text_->encode(read_text(settings_.text)), settings_.text);
  }

  [[nodiscard]] Value report() const {
    Value v = Value::table();
    v.set("package", package_);
    v.set("model", recipe_.model.source);
    v.set("revision", recipe_.model.revision);
    v.set("timestamp", now());
    v.set("compute_units", "CPU_ONLY");
    v.set("precision", options_.runner.precision);
    v.set("seq_len", model_.facts() ? model_.facts()->context : 0);
    const Value found = verification_.report();
    for (const auto& [key, value] : found.members()) v.set(key, value);
    if (!relief_.is_null()) v.set("encoder_relief", relief_);
    return v;
  }

 private:
  [[nodiscard]] Value section() const {
    return options_.golden_config.empty() ? recipe_.verify : with_golden_config(recipe_.verify, options_.golden_config);
  }

  [[nodiscard]] const std::string& tokenizer() const {
    return options_.tokenizer.empty() ? package_ : options_.tokenizer;
  }

  /// Null where the package has no tokenizer; one that is named must be there.
  [[nodiscard]] std::unique_ptr<Text> open_text() const try {
    return std::make_unique<Text>(plugins_, tokenizer());
  } catch (const Error& e) {
    if (e.code() != Code::input || !options_.tokenizer.empty()) throw;
    return nullptr;
  }

  [[nodiscard]] std::vector<std::int32_t> made_up(std::int32_t which) const {
    const std::int64_t vocab = model_.facts() ? std::max<std::int64_t>(model_.facts()->vocab_size, 1) : 1;
    std::vector<std::int32_t> tokens;
    for (std::int64_t i = 0; i < kMadeUpTokens + which; ++i)
      tokens.push_back(static_cast<std::int32_t>((i * 7919 + which * 104729 + 13) % vocab));
    return tokens;
  }

  /// Empty where no text is to be read.
  [[nodiscard]] std::vector<std::int32_t> text_tokens() const {
    if (settings_.text.empty()) return {};
    const std::string text = read_text(settings_.text);
    if (text.empty()) fail_input(settings_.text + ": is empty, so there is nothing to predict");
    if (!text_) fail_input(package_ + ": has no tokenizer for the text; name a folder that has one with --tokenizer");
    return text_->encode(text);
  }

  [[nodiscard]] std::vector<PromptTokens> prompts() const {
    std::vector<PromptTokens> prompts;
    if (text_)
      for (const std::string& text : settings_.prompts) prompts.push_back({text, text_->encode(text)});
    else
      for (std::int32_t i = 0; i < kMadeUpPrompts; ++i) prompts.push_back({"", made_up(i)});
    return prompts;
  }

  [[nodiscard]] std::vector<SentenceTokens> sentences() const {
    std::vector<SentenceTokens> sentences;
    if (!text_)
      for (std::int32_t i = 0; i < kMadeUpSentences; ++i) sentences.push_back({"", {made_up(i), {}, {}}});
    if (!text_ || !model_.encoder_facts()) return sentences;
    const Text encoder(plugins_, tokenizer(), "", TokenizerOf::encoder);
    for (const std::string& text : settings_.sentences)
      sentences.push_back({text, encoder.sentence(*model_.encoder_facts(), "", text)});
    return sentences;
  }

  const Arguments& arguments_;
  const VerifyOptions& options_;
  const Recipe& recipe_;
  PluginRegistry& plugins_;
  std::string package_;
  VerifySettings settings_;
  Model model_;
  std::unique_ptr<Text> text_;
  Verification verification_;
  Value relief_;  ///< null: not asked for
};

void write_report(const std::string& path, const Value& report) {
  if (path.empty()) return;
  std::ofstream file(path, std::ios::binary);
  file << json::dump(report, 2) << "\n";
  if (!file.flush()) fail(Code::resource, path + ": cannot be written");
}

bool names_source(const Arguments& a) {
  return std::any_of(a.overrides.begin(), a.overrides.end(), [](const Override& o) { return o.key == "model.source"; });
}

bool names_adapters(const Arguments& a) {
  return std::any_of(a.overrides.begin(), a.overrides.end(),
                     [](const Override& o) { return o.key.starts_with("adapter["); });
}

/// The package's own recipe; where it carries none, only its [verify] is of use, and that is the default one.
Recipe recipe_of(const Arguments& a, PluginRegistry& plugins) {
  if (names_source(a))
    return fetch_inputs(carried_recipe(plugins, a.subject, a.overrides), plugins,
                        *make_progress(a.quiet || !a.progress));
  if (attachments(plugins, a.subject).contains("recipe.json")) return carried_recipe(plugins, a.subject, a.overrides);
  return load_recipe(find_recipe("base"), a.overrides);
}

std::string transcripts_text(const Value& report) {
  Table table({"prompt", "against", "common tokens", "match"}, {false, false, true, false});
  for (const Value& t : report.at("transcripts").items()) {
    std::string prompt = t.at("prompt").as_text();
    if (prompt.size() > 40) prompt = prompt.substr(0, 37) + "...";
    table.add({prompt, t.at("comparison").as_text(),
               std::to_string(t.int_or("common_tokens", 0)) + "/" + std::to_string(t.int_or("max_new_tokens", 0)),
               t.bool_or("match", false) ? "yes" : "no"});
  }
  return table.text();
}

std::string divergence_text(const Value& report) {
  std::string text;
  for (const Value& d : report.at("divergence").items())
    if (d.find("perplexity") != nullptr)
      text += "perplexity on " + d.text_or("text", "") + " (" + std::to_string(d.int_or("positions", 0)) +
              " tokens): " + number(d.real_or("perplexity", 0)) + ", of the source " +
              number(d.real_or("reference_perplexity", 0)) + "\n";
  return text;
}

std::string relief_text(const Value& report) {
  const Value* relief = report.find("encoder_relief");
  if (relief == nullptr) return {};
  Table table({"stored better", "bits", "size", "least cosine"}, {false, true, true, true});
  const auto add = [&](const std::string& what, const std::string& bits, const Value& r) {
    table.add({what, bits, "+" + size_text(static_cast<std::uint64_t>(r.int_or("added_bytes", 0))),
               number(r.real_or("least_cosine", 0), "%.5f")});
  };
  add("nothing", "", relief->at("as_it_is"));
  for (const Value& r : relief->at("alone").items()) {
    const Value& rule = r.at("rules").items().front();
    add(rule.at("match").as_text(), std::to_string(rule.int_or("bits", 0)), r);
  }
  const Value& enough = relief->at("enough");
  add("the best " + std::to_string(enough.at("rules").items().size()), "", enough);
  return "\n" + table.text();
}

std::string checks_text(const Value& report) {
  Table table({"compared with", "check", "value", "limit", ""}, {false, false, true, true, false});
  for (const Value& c : report.at("checks").items()) {
    const Value* most = c.find("at_most");
    table.add({c.at("comparison").as_text(), c.at("name").as_text(), number(c.real_or("value", 0)),
               (most != nullptr ? "<= " : ">= ") + number(most != nullptr ? most->as_real() : c.real_or("at_least", 0)),
               c.bool_or("pass", false) ? "ok" : "FAILED"});
  }
  return table.text();
}

}  // namespace

std::string validation_text(const Value& report) {
  std::string text;
  for (const Value& r : report.at("references").items())
    text += r.at("comparison").as_text() + ": " + r.at("reference").as_text() + "\n";
  if (report.at("checks").items().empty())
    return text + "verification FAILED: there is nothing to compare with; give --golden or --source\n";
  if (!report.at("transcripts").items().empty()) text += "\n" + transcripts_text(report);
  text += "\n" + checks_text(report) + divergence_text(report) + relief_text(report);
  return text + "verification " + (report.bool_or("validation_passed", false) ? "passed" : "FAILED") + "\n";
}

Value validate(const Arguments& a, const Recipe& recipe, PluginRegistry& plugins, const std::string& package) {
  Run run(a, recipe, plugins, package);
  run.compare_with_source();
  const Value report = run.report();
  write_report(a.verify.report, report);
  return report;
}

std::string verify(const Arguments& a) {
  check_output_folder("--report", a.verify.report);
  if (a.verify.runner.precision == "fast")
    fail_usage("--precision fast is approximate, so nothing is verified with it; use fp32 or fp16");
  if (names_adapters(a) && !names_source(a))
    fail_usage("--adapter and --encoder-adapter change a source; name it with --source");
  PluginRegistry plugins(a.plugin_dirs, {});
  const Recipe recipe = recipe_of(a, plugins);
  Run run(a, recipe, plugins, a.subject);
  for (const std::string& golden : a.verify.goldens) run.compare_with_golden(golden);
  if (names_source(a)) {
    run.warn_of_missing_adapters(names_adapters(a));
    run.compare_with_source();
  }
  const Value report = run.report();
  write_report(a.verify.report, report);
  const std::string text = result(a.json, report, validation_text(report));
  if (report.bool_or("validation_passed", false)) return text;
  throw CheckFailed{text};
}

}  // namespace d2c::host::cli
