#include "host/cli/arguments.hpp"

#include "host/cli/parse_size.hpp"
#include "host/recipe/nearest.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>

namespace d2c::host::cli {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

/// A path from the command line is relative to where the user stands, not to a recipe's folder. Hub ids and
/// "synthetic:..." are no paths.
std::string from_here(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? std::filesystem::absolute(path).lexically_normal().string() : path;
}

/// The flags that stand for recipe keys, in the order typed.
class Shorthands {
 public:
  void add_to(CLI::App& app, Arguments& arguments) {
    text(app, "--model", "model.source", "Model directory, .gguf file, hub id (ORG/NAME) or synthetic:NAME")
        ->each([&arguments](const std::string&) { arguments.names_model = true; });
    text(app, "--revision", "model.revision", "Branch, tag or commit of a hub model");
    adapter(app, "--adapter,--lora-checkpoint", "chat",
            "LoRA adapter for init and decode, a folder or hub id; repeatable");
    adapter(app, "--encoder-adapter,--llm2vec-checkpoint", "encoder",
            "LoRA adapter for encode, DIR[:WEIGHT]; repeatable");
    variant(app);
    value(app, "--context,--seq-len", "graph.context", "Tokens the KV cache holds");
    text(app, "--quantizer", "quantize.plugin", "Quantizer plugin, or none to keep weights dense");
    value(app, "--wbits,--q-bits", "quantize.bits", "Bits per weight");
    value(app, "--palett-group-size,--q-group-size", "quantize.group_size", "Channels that share a palette or a scale");
    text(app, "--palett-granularity", "quantize.granularity",
         "per_grouped_channel, per_tensor, per_block or per_channel");
    text(app, "--minimum-deployment-target", "target.deployment", "iOS18, macOS15, ...");
    text(app, "--compute-units", "target.compute_units", "Compute units the package is meant for");
    app.add_option_function<std::string>(
           "--mixed-precision", [this](const std::string& v) { mixed_precision(v); },
           "Bits by role or tensor name: attention=6,mlp=4,model.layers.0.*=8")
        ->type_name("ROLE=BITS,...");
    app.add_flag_callback(
        "--clean-tmp", [] {}, "Accepted for compatibility: temporary files are always removed");
  }

  void add_merge_to(CLI::App& app) {
    text(app, "--model", "model.source", "Model directory, .gguf file or hub id (ORG/NAME)")->required();
    text(app, "--revision", "model.revision", "Branch, tag or commit of a hub model");
    adapter(app, "--adapter", "chat", "LoRA adapter, DIR[:WEIGHT]; repeatable, merged in this order");
    text(app, "--combination", "adapters.combination",
         "sequential, linear, cat, svd, ties, dare_linear, dare_ties or magnitude_prune");
    text(app, "--tied", "adapters.tied",
         "An adapter of a tied embedding or head: untie (as the live adapter acts) or shared (as PEFT merges)");
  }

  void add_verify_to(CLI::App& app) {
    CLI::Option* source =
        text(app, "--source", "model.source", "The model it was made from: a directory, .gguf file or synthetic:NAME");
    adapter(app, "--adapter", "chat", "LoRA adapter of init and decode, DIR[:WEIGHT], used unmerged; repeatable")
        ->needs(source);
    adapter(app, "--encoder-adapter", "encoder", "LoRA adapter of encode, DIR[:WEIGHT], used unmerged; repeatable")
        ->needs(source);
  }

  [[nodiscard]] std::vector<Override> overrides() const { return overrides_; }

 private:
  CLI::Option* text(CLI::App& app, const char* flag, const char* key, const char* help) {
    return app.add_option_function<std::string>(
        flag,
        [this, flag, key](const std::string& v) {
          const bool path = std::strcmp(key, "model.source") == 0;
          overrides_.push_back({key, toml_string(path ? from_here(v) : v), origin(flag, v)});
        },
        help);
  }
  void value(CLI::App& app, const char* flag, const char* key, const char* help) {
    app.add_option_function<std::string>(
        flag,
        [this, flag, key](const std::string& v) {
          overrides_.push_back({key, v, origin(flag, v)});
        },
        help);
  }
  CLI::Option* adapter(CLI::App& app, const char* flag, const char* stack, const char* help) {
    return app
        .add_option_function<std::vector<std::string>>(
            flag,
            [this, flag, stack](const std::vector<std::string>& list) {
              for (const std::string& text : list) append_adapter(text, stack, origin(flag, text));
            },
            help)
        ->type_name("DIR[:WEIGHT]")
        ->expected(1)
        ->take_all();
  }
  void append_adapter(const std::string& text, const std::string& stack, const std::string& origin) {
    const AdapterArgument a = parse_adapter(text);
    overrides_.push_back({"adapter[+]",
                          "{ path = " + toml_string(from_here(a.path)) + ", weight = " + number(a.weight) +
                              ", stack = " + toml_string(stack) + " }",
                          origin});
  }
  void variant(CLI::App& app) {
    app.add_option_function<std::vector<std::string>>(
           "--variant",
           [this](const std::vector<std::string>& list) {
             for (const std::string& text : list) {
               const auto equals = text.find('=');
               if (equals == std::string::npos) fail_usage("--variant: '" + text + "' is not NAME=DIR[:WEIGHT]");
               const std::string name = text.substr(0, equals), from = origin("--variant", text);
               overrides_.push_back({"variant", "[{ name = " + toml_string(name) + " }]", from});
               append_adapter(text.substr(equals + 1), name, from);
             }
           },
           "LoRA adapter for functions of its own, init_NAME and decode_NAME; repeatable")
        ->type_name("NAME=DIR[:WEIGHT]")
        ->expected(1)
        ->take_all();
  }
  /// One list, so that it replaces the recipe's rules for the same roles.
  void mixed_precision(const std::string& text) {
    std::string rules;
    for (const std::string& part : split(text, ',')) {
      const auto equals = part.find('=');
      if (equals == std::string::npos) fail_usage("--mixed-precision: '" + part + "' is not ROLE=BITS");
      rules += "{ match = " + toml_string(part.substr(0, equals)) + ", bits = " + part.substr(equals + 1) + " }, ";
    }
    overrides_.push_back({"quantize.rule", "[" + rules + "]", "--mixed-precision " + text});
  }

  static std::string number(double v) {
    std::ostringstream out;
    out.precision(17);
    out << v;
    const std::string text = out.str();
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
  }
  static std::string origin(const char* flags, const std::string& value) {
    return split(flags, ',').front() + " " + value;
  }

  std::vector<Override> overrides_;
};

/// "1,2,3".
std::vector<std::int32_t> parse_tokens(const char* flag, const std::string& text) {
  std::vector<std::int32_t> ids;
  for (const std::string& part : split(text, ',')) {
    std::int32_t id = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), id);
    if (error != std::errc() || end != part.data() + part.size() || id < 0)
      fail_usage(std::string(flag) + ": '" + part + "' is no token id; write ids like 1,2,3");
    ids.push_back(id);
  }
  if (ids.empty()) fail_usage(std::string(flag) + ": there is no token; write ids like 1,2,3");
  return ids;
}

/// Everything one parse needs; CLI11 keeps references into it.
class Parser {
 public:
  explicit Parser(Arguments& arguments) : out_(arguments) {
    app_.name("dolphin2coreml");
    app_.set_version_flag("--version", std::string("dolphin2coreml ") + D2C_SDK_VERSION);
    app_.require_subcommand(1);
    add_common_flags(app_);
    app_.footer(
        "'dolphin2coreml help COMMAND' explains a command.\n"
        "Exit codes: 0 ok, 1 a check failed, 2 usage or recipe, 3 input, 4 network, 5 memory, disk or lock, 6 plugin, "
        "130 interrupted.");
    add_convert();
    add_assemble();
    add_plan();
    add_merge();
    add_diff();
    add_inspect();
    add_lint();
    add_clean();
    add_generate();
    add_chat();
    add_embed();
    add_bench();
    add_tokenize();
    add_verify();
    add_cache();
    add_plugins();
    add_recipe();
    add_doctor();
  }

  std::optional<Answer> run(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForAllHelp&) {
      return Answer{app_.help("", CLI::AppFormatMode::All)};
    } catch (const CLI::CallForHelp&) {
      return Answer{deepest(app_).help()};
    } catch (const CLI::CallForVersion&) {
      return Answer{app_.version() + "\n"};
    } catch (const CLI::ExtrasError&) {
      fail_usage(unknown_argument());
    } catch (const CLI::RequiredError& e) {
      // The parser misses the command before it minds what stands in its place.
      if (!app_.remaining(true).empty()) fail_usage(unknown_argument());
      fail_usage(std::string(e.what()) + "; see 'dolphin2coreml --help'");
    } catch (const CLI::ParseError& e) {
      fail_usage(std::string(e.what()) + "; see 'dolphin2coreml --help'");
    }
    out_.overrides = shorthands_.overrides();
    for (const std::string& set : sets_) {
      const auto equals = set.find('=');
      if (equals == std::string::npos) fail_usage("--set " + set + ": expected key=value");
      out_.overrides.push_back({set.substr(0, equals), set.substr(equals + 1), "--set " + set});
    }
    if (dry_run_) out_.command = Command::plan;
    if (!max_shard_.empty()) out_.merge.max_shard_bytes = parse_size(max_shard_);
    if (!max_memory_.empty()) out_.run.max_memory = parse_size(max_memory_);
    return std::nullopt;
  }

 private:
  CLI::App* group(const char* name, const char* help) {
    CLI::App* app = app_.add_subcommand(name, help);
    app->require_subcommand(1);
    return app;
  }

  CLI::App* command(CLI::App& parent, const char* name, Command which, const char* help) {
    CLI::App* app = parent.add_subcommand(name, help);
    app->callback([this, which] { out_.command = which; });
    add_common_flags(*app);
    return app;
  }

  /// They may stand before the command as well as after it.
  void add_common_flags(CLI::App& app) {
    constexpr const char* kGroup = "Common options";
    app.add_flag("--json", out_.json, "Print the result as JSON on stdout")->group(kGroup);
    app.add_flag("-v,--verbose", out_.verbose, "Say more")->group(kGroup);
    app.add_flag("-q,--quiet", out_.quiet, "Say only warnings and errors")->group(kGroup);
    app.add_flag_callback(
           "--no-progress", [this] { out_.progress = false; }, "Draw no progress")
        ->group(kGroup);
    add_choice<ColorMode>(app, "--color", out_.color,
                          {{"auto", ColorMode::automatic}, {"always", ColorMode::always}, {"never", ColorMode::never}},
                          "Colours")
        ->group(kGroup);
    app.add_option("--plugin-dir", out_.plugin_dirs, "Search this folder for plugins first; repeatable")
        ->expected(1)
        ->take_all()
        ->group(kGroup);
  }

  template <typename Enum>
  static CLI::Option* add_choice(CLI::App& app, const char* flag, Enum& value, const std::map<std::string, Enum>& names,
                                 const char* help) {
    std::vector<std::string> known;
    for (const auto& [name, unused] : names) known.push_back(name);
    return app
        .add_option_function<std::string>(
            flag, [&value, names](const std::string& name) { value = names.at(name); }, help)
        ->check(CLI::IsMember(known));
  }

  void subject(CLI::App& app, const char* name, const char* help, bool required) {
    app.add_option(name, out_.subject, help)->required(required);
  }

  void add_recipe_flags(CLI::App& app) {
    shorthands_.add_to(app, out_);
    add_set_flag(app);
  }

  void add_set_flag(CLI::App& app) {
    app.add_option("--set", sets_, "Set a recipe key: --set quantize.bits=6; repeatable")
        ->type_name("KEY=VALUE")
        ->expected(1)
        ->take_all();
  }

  CLI::App& add_conversion(const char* name, Command which, const char* help) {
    CLI::App& app = *command(app_, name, which, help);
    subject(app, "RECIPE", "Path, or name of a shipped recipe (default: dolphin3-llama3.1-8b, or base with --model)",
            false);
    add_recipe_flags(app);
    add_run_flags(app, "The package to write");
    return app;
  }

  void add_run_flags(CLI::App& app, const char* output) {
    app.add_option("-o,--output", out_.run.output, output);
    app.add_option("-j,--threads", out_.run.threads, "Worker threads (default: all cores)");
    app.add_option("--max-memory", max_memory_, "Bound on resident memory, e.g. 2G (default: 1G)");
    app.add_flag("--force", out_.run.force, "Replace an existing output");
    app.add_flag_callback(
        "--resume", [this] { out_.run.resume = true; }, "Continue an interrupted run (default)");
    app.add_flag_callback(
        "--no-resume", [this] { out_.run.resume = false; }, "Start afresh instead");
    app.add_flag("--keep-temp", out_.run.keep_temporary, "Leave the folder of temporary files beside the output");
  }

  void add_convert() {
    CLI::App& app = add_conversion("convert", Command::convert, "Convert a model into a Core ML package");
    app.add_flag("--dry-run", dry_run_, "The same as plan");
    app.add_option_function<std::string>(
           "--shard", [this](const std::string& text) { out_.run.shard = Shard::parse(text); },
           "Make the Kth of N parts of the package only; assemble joins them")
        ->type_name("K/N");
    CLI::Option* validate = app.add_flag("--profile-validate", out_.profile_validate,
                                         "Then compare the package with its source: see verify");
    app.add_option("--golden-config", out_.verify.golden_config, "A recipe file whose [verify] says what is compared")
        ->needs(validate);
    app.add_option("--validation-report", out_.verify.report, "Write what was found as JSON, too")->needs(validate);
  }

  void add_assemble() {
    add_conversion("assemble", Command::assemble, "Join the parts that convert --shard left beside the output");
  }

  void add_plan() { add_conversion("plan", Command::plan, "Show what convert would do, reading headers only"); }

  void add_merge() {
    CLI::App& app =
        *command(app_, "merge", Command::merge, "Merge adapters into a model, as a Hugging Face checkpoint");
    shorthands_.add_merge_to(app);
    add_set_flag(app);
    app.add_option("--dtype", out_.merge.dtype, "Type of the weights: source, fp16, bf16 or fp32")
        ->capture_default_str()
        ->check(CLI::IsMember({"source", "fp16", "bf16", "fp32"}));
    app.add_option("--max-shard-size", max_shard_, "Begin another file beyond this size (default: 5GB)");
    add_run_flags(app, "The folder to write");
  }

  void add_diff() {
    CLI::App& app = *command(app_, "diff", Command::diff, "Compare two checkpoints, tensor by tensor");
    subject(app, "A", "A model directory or .gguf file", true);
    app.add_option("B", out_.diff.other, "Another one")->required();
    app.add_option("--tolerance", out_.diff.diff.tolerance,
                   "Largest difference that counts as equal (default: the same bytes)")
        ->check(CLI::NonNegativeNumber);
    app.footer("Exit code 1 where they differ.");
  }

  void add_inspect() { package(*command(app_, "inspect", Command::inspect, "Describe a finished package")); }

  void add_lint() {
    CLI::App& app =
        *command(app_, "lint", Command::lint, "Check a finished package against what Core ML is known to refuse");
    LintOptions& o = out_.lint;
    subject(app, "PACKAGE", "The .mlpackage", false);
    app.add_option("--compute-units", o.compute_units, "What it is meant to run on")
        ->capture_default_str()
        ->check(CLI::IsMember({"ALL", "CPU_AND_GPU", "CPU_AND_NE", "CPU_ONLY"}));
    app.add_option("--accept", o.accept, "Go against this rule knowingly; repeatable")->expected(1)->take_all();
    app.add_flag("--reference", o.reference, "Print the table of all rules, in Markdown");
    app.footer("Exit code 1 where a rule that is an error is broken.");
  }

  void add_clean() {
    subject(*command(app_, "clean", Command::clean, "Remove what an interrupted run left beside an output"), "OUTPUT",
            "The output it was writing", true);
  }

  void add_generate() {
    CLI::App& app = *command(app_, "generate", Command::generate, "Continue a text, on the CPU");
    GenerateOptions& o = out_.generate;
    package(app);
    CLI::Option* prompt = app.add_option("--prompt", o.prompt, "The text to continue (default: stdin)");
    tokens(app, "--tokens", o.tokens, "The prompt as token ids")->excludes(prompt);
    tokens(app, "--teacher-force", o.teacher_force, "Token ids to feed in place of the chosen ones");
    app.add_option("--max-new-tokens", o.max_new_tokens, "Tokens to generate at most (default: 128, or what fits)")
        ->check(CLI::NonNegativeNumber);
    app.add_flag_callback(
        "--stop-at-eos", [&o] { o.stop_at_eos = true; }, "End at the model's stop tokens (default for text)");
    app.add_flag_callback(
        "--ignore-eos", [&o] { o.stop_at_eos = false; }, "Go on after them (default for --tokens)");
    app.add_option("--logits-out", o.logits_out, "Write prefill_logits [V] and decode_logits [k,V] as safetensors");
    add_variant_flag(app, o.variant);
    add_tokenizer_flag(app, o.tokenizer);
    add_sampling(app, o.sampling);
    add_runner(app, o.runner);
  }

  void add_chat() {
    CLI::App& app = *command(app_, "chat", Command::chat, "Talk with a package, on the CPU");
    ChatCommandOptions& o = out_.chat;
    package(app);
    app.add_option("--system", o.chat.system, "The system prompt (default: what the template says)");
    app.add_option("--chat-template", o.chat_template, "Template by name (default: the model's own)");
    app.add_option("--max-new-tokens", o.chat.max_new_tokens, "Tokens of a reply at most")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    add_choice<Overflow>(app, "--overflow", o.chat.overflow, {{"error", Overflow::error}, {"shift", Overflow::shift}},
                         "A full context: error, or shift (forget the oldest turns)");
    app.add_flag("--once", o.once, "Take all of stdin for one message, answer it and end");
    add_variant_flag(app, o.variant);
    add_tokenizer_flag(app, o.tokenizer);
    add_sampling(app, o.chat.sampling);
    add_runner(app, o.runner);
    app.footer(
        "In a terminal: /reset forgets the conversation, /exit or Ctrl-D ends, Ctrl-C stops a reply. "
        "Otherwise each line of stdin is a message.");
  }

  void add_embed() {
    CLI::App& app = *command(app_, "embed", Command::embed, "Embed lines of text, on the CPU");
    EmbedOptions& o = out_.embed;
    package(app);
    CLI::Option* files = app.add_option("FILES", o.files, "Texts, one in each line (default: stdin)");
    app.add_option("--tokens-file", o.tokens_file,
                   R"(Token ids instead: [{"input_ids": [...], "pooling_mask": [...]}])")
        ->excludes(files);
    app.add_option("--instruction", o.instruction, "What the embedding is for, put in front of every text");
    app.add_option("--out", o.out, "Write the embeddings as .safetensors or .npy");
    app.add_flag("--similarity", o.similarity, "Print the cosine of every pair instead of the numbers");
    add_tokenizer_flag(app, o.tokenizer);
    add_runner(app, o.runner);
  }

  void add_bench() {
    CLI::App& app = *command(app_, "bench", Command::bench, "Measure a package on the CPU: time, memory, KV cache");
    BenchOptions& o = out_.bench;
    package(app);
    app.add_option("--prompt-tokens", o.prompt_tokens, "Length of the prompt (default: 128, or what fits)")
        ->check(CLI::PositiveNumber);
    app.add_option("--new-tokens", o.new_tokens, "Tokens to generate (default: 64, or what fits)")
        ->check(CLI::PositiveNumber);
    app.add_option("--repeats", o.repeats, "Runs that count")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--warmup", o.warmup, "Runs before those")->capture_default_str()->check(CLI::NonNegativeNumber);
    add_runner(app, o.runner);
  }

  void add_tokenize() {
    CLI::App& app =
        *command(app_, "tokenize", Command::tokenize, "Turn text from stdin into token ids, or ids into text");
    TokenizeOptions& o = out_.tokenize;
    subject(app, "PATH", "A package, a model's folder or a GGUF file", true);
    app.add_flag("--add-bos", o.add_bos, "With the tokens that the model's tokenizer puts around a text");
    app.add_flag("--parse-special", o.parse_special, "Special tokens in the text are those tokens, not plain text");
    CLI::Option* decode = tokens(app, "--decode", o.tokens, "Print the text of these token ids instead");
    app.add_flag("--skip-special", o.skip_special, "Leave special tokens out of that text")->needs(decode);
  }

  void add_verify() {
    CLI::App& app = *command(app_, "verify", Command::verify, "Check what a package says against references");
    VerifyOptions& o = out_.verify;
    package(app);
    app.add_option("--golden", o.goldens, "Golden file, as the scripts in tools/ record them; repeatable")
        ->expected(1)
        ->take_all();
    shorthands_.add_verify_to(app);
    add_set_flag(app);
    app.add_option("--golden-config", o.golden_config, "A recipe file whose [verify] says what is compared");
    app.add_option("--text", o.text, "A text file on which package and source predict every token");
    app.add_flag("--advise", o.advise,
                 "Where embeddings fail, find the weights that need more bits: converts the encoder many times");
    app.add_option("--report", o.report, "Write the report as JSON, too");
    add_tokenizer_flag(app, o.tokenizer);
    add_runner(app, o.runner);
    app.footer("Exit code 1 where a check fails, or where there is nothing to compare with.");
  }

  void add_cache() {
    CLI::App& cache = *group("cache", "Look after downloaded models (the cache that Hugging Face's tools share)");
    const auto add = [&](const char* name, Command which, const char* help) -> CLI::App& {
      CLI::App& app = *command(cache, name, which, help);
      subject(app, "MODEL", "Only this one, by its hub id", false);
      return app;
    };
    add("list", Command::cache_list, "What is there, by commit");
    add("verify", Command::cache_verify, "Read everything and compare it with its digest");
    add("prune", Command::cache_prune, "Remove interrupted downloads and what no branch or tag leads to")
        .add_flag("--dry-run", out_.cache.dry_run, "Only say what would be removed");
  }

  void add_plugins() {
    CLI::App& plugins = *group("plugins", "List plugins, or show one");
    command(plugins, "list", Command::plugins_list, "Every plugin found, where, and why any was refused");
    subject(*command(plugins, "info", Command::plugins_info, "What one plugin offers, with its options"), "NAME",
            "The plugin", true);
    CLI::App& test = *command(plugins, "test", Command::plugins_test,
                              "Check whether a plugin keeps its contract (quantizers in full)");
    subject(test, "LIBRARY", "The plugin's file, or its name on the search path", true);
    test.add_option("--set", sets_, "Test the quantizer with this option: --set bits=6; repeatable")
        ->type_name("OPTION=VALUE")
        ->expected(1)
        ->take_all();
    test.add_option("--rule", out_.rules, "Apply only this rule; repeatable")->expected(1)->take_all();
    test.footer("Exit code 1 where a rule is broken.");
  }

  void add_recipe() {
    CLI::App& recipe = *group("recipe", "Check and show recipes");
    for (const auto& [name, which, help] :
         {std::tuple{"check", Command::recipe_check, "Check a recipe, its plugins' options included"},
          std::tuple{"show", Command::recipe_show, "The resolved recipe, with where each value was written"}}) {
      CLI::App& sub = *command(recipe, name, which, help);
      subject(sub, "RECIPE", "Path, or name of a shipped recipe", false);
      add_recipe_flags(sub);
    }
    command(recipe, "schema", Command::recipe_schema, "JSON Schema of recipes, for editors");
    command(recipe, "reference", Command::recipe_reference, "Tables of all recipe keys, in Markdown");
  }

  void add_doctor() {
    CLI::App& app = *command(app_, "doctor", Command::doctor, "Check machine, recipes, plugins, disk and cache");
    subject(app, "FOLDER", "Where packages are to be written (default: here)", false);
    app.footer("Exit code 1 where something is missing.");
  }

  void package(CLI::App& app) { subject(app, "PACKAGE", "The .mlpackage", true); }

  static CLI::Option* tokens(CLI::App& app, const char* flag, std::vector<std::int32_t>& out, const char* help) {
    return app
        .add_option_function<std::string>(
            flag, [flag, &out](const std::string& text) { out = parse_tokens(flag, text); }, help)
        ->type_name("ID,ID,...");
  }

  static void add_tokenizer_flag(CLI::App& app, std::string& out) {
    app.add_option("--tokenizer", out, "Folder of the tokenizer's files, where the package has none");
  }

  static void add_variant_flag(CLI::App& app, std::string& out) {
    app.add_option("--variant", out, "Use the functions of this variant (default: init and decode)");
  }

  static void add_sampling(CLI::App& app, SamplingOptions& o) {
    app.add_option("--temperature", o.temperature, "0 takes the likeliest token, always")->capture_default_str();
    app.add_option("--top-k", o.top_k, "Keep the K likeliest tokens; 0 keeps all")->capture_default_str();
    app.add_option("--top-p", o.top_p, "Keep the likeliest tokens that hold this share")->capture_default_str();
    app.add_option("--min-p", o.min_p, "Keep tokens this likely next to the likeliest")->capture_default_str();
    app.add_option("--repetition-penalty", o.repetition_penalty, "Above 1, what was said gets less likely")
        ->capture_default_str();
    app.add_option("--seed", o.seed, "The same seed gives the same text")->capture_default_str();
  }

  static void add_runner(CLI::App& app, RunnerOptions& o) {
    app.add_option("--precision", o.precision, "fp32 (reference), fp16 (rounded as stored) or fast (approximate)")
        ->capture_default_str()
        ->check(CLI::IsMember({"fp32", "fp16", "fast"}));
    app.add_option("-j,--threads", o.threads, "Threads (default: all cores)");
    app.add_option("--runner", o.plugin, "Plugin that runs the package (default: whichever recognises it)");
  }

  static CLI::App& deepest(CLI::App& app) {
    const auto subs = app.get_subcommands();
    return subs.empty() ? app : deepest(*subs.front());
  }

  std::string unknown_argument() {
    CLI::App& app = deepest(app_);
    const std::vector<std::string> extras = app_.remaining(true);
    const std::string first = extras.empty() ? "" : extras.front();
    std::vector<std::string> known;
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : split(option->get_name(false, true), ',')) known.push_back(name);
    for (const CLI::App* sub : app.get_subcommands(nullptr)) known.push_back(sub->get_name());
    const std::string guess = did_you_mean(first.substr(0, first.find('=')), known);
    return "unknown argument '" + first + "'" + (guess.empty() ? "; see 'dolphin2coreml --help'" : guess);
  }

  CLI::App app_{
      "Converts Llama-architecture language models, with their LoRA adapters, to Core ML packages, and runs them."};
  Arguments& out_;
  Shorthands shorthands_;
  std::vector<std::string> sets_;
  std::string max_memory_;
  std::string max_shard_;
  bool dry_run_ = false;
};

}  // namespace

AdapterArgument parse_adapter(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size()) return {text, 1};
  char* end = nullptr;
  const double weight = std::strtod(text.c_str() + colon + 1, &end);
  if (*end != '\0') return {text, 1};
  return {text.substr(0, colon), weight};
}

std::optional<Answer> parse(int argc, const char* const* argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i)
    if (std::strcmp(argv[i], "--json") == 0) arguments.json = true;
  if (argc > 1 && std::strcmp(argv[1], "help") == 0) {
    std::vector<const char*> asked(argv + 2, argv + argc);
    asked.insert(asked.begin(), argv[0]);
    asked.push_back("--help");
    return Parser(arguments).run(static_cast<int>(asked.size()), asked.data());
  }
  return Parser(arguments).run(argc, argv);
}

}  // namespace d2c::host::cli
