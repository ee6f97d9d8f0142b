#include "host/cli/arguments.hpp"

#include "host/cli/parse_size.hpp"
#include "host/recipe/nearest.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstring>

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
    text(app, "--model", "model.source", "Model directory, .gguf file or synthetic:NAME")
        ->each([&arguments](const std::string&) { arguments.names_model = true; });
    text(app, "--revision", "model.revision", "Revision of a hub model");
    adapter(app, "--adapter,--lora-checkpoint", "chat", "LoRA adapter for init and decode, DIR[:WEIGHT]; repeatable");
    adapter(app, "--encoder-adapter,--llm2vec-checkpoint", "encoder",
            "LoRA adapter for encode, DIR[:WEIGHT]; repeatable");
    value(app, "--context,--seq-len", "graph.context", "Tokens the KV cache holds");
    value(app, "--wbits,--q-bits", "quantize.bits", "Bits per weight");
    value(app, "--palett-group-size,--q-group-size", "quantize.group_size", "Channels that share a palette");
    text(app, "--palett-granularity", "quantize.granularity", "per_grouped_channel or per_tensor");
    text(app, "--minimum-deployment-target", "target.deployment", "iOS18, macOS15, ...");
    text(app, "--compute-units", "target.compute_units", "Compute units the package is meant for");
    app.add_option_function<std::string>(
           "--mixed-precision", [this](const std::string& v) { mixed_precision(v); }, "Bits by role: attention=6,mlp=4")
        ->type_name("ROLE=BITS,...");
    app.add_flag_callback(
        "--clean-tmp", [] {}, "Accepted for compatibility: temporary files are always removed");
    for (const char* later : {"--profile-validate", "--golden-config", "--validation-report"})
      app.add_option_function<std::string>(
             later,
             [later](const std::string&) {
               fail_usage(std::string(later) +
                          ": this release converts only; there is no verify command to hand it to");
             },
             "Belongs to a verify command, which this release does not have")
          ->expected(0, 1)
          ->group("");
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
  void adapter(CLI::App& app, const char* flag, const char* stack, const char* help) {
    app.add_option_function<std::vector<std::string>>(
           flag,
           [this, flag, stack](const std::vector<std::string>& list) {
             for (const std::string& text : list) {
               const AdapterArgument a = parse_adapter(text);
               overrides_.push_back({"adapter[+]",
                                     "{ path = " + toml_string(from_here(a.path)) + ", weight = " + number(a.weight) +
                                         ", stack = " + toml_string(stack) + " }",
                                     origin(flag, text)});
             }
           },
           help)
        ->type_name("DIR[:WEIGHT]")
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
    add_conversion(*command(app_, "convert", Command::convert, "Convert a model into a Core ML package"), true);
    add_conversion(*command(app_, "plan", Command::plan, "Show what convert would do, reading headers only"), false);
    subject(*command(app_, "inspect", Command::inspect, "Describe a finished package"), "PACKAGE", "The .mlpackage",
            true);
    subject(*command(app_, "clean", Command::clean, "Remove what an interrupted run left beside an output"), "OUTPUT",
            "The output it was writing", true);
    CLI::App& plugins = *group("plugins", "List plugins, or show one");
    command(plugins, "list", Command::plugins_list, "Every plugin found, where, and why any was refused");
    subject(*command(plugins, "info", Command::plugins_info, "What one plugin offers, with its options"), "NAME",
            "The plugin", true);
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
    app.add_flag("--json", out_.json, "Print the result as JSON on stdout");
    app.add_flag("-v,--verbose", out_.verbose, "Say more");
    app.add_flag("-q,--quiet", out_.quiet, "Say only warnings and errors");
    app.add_flag("!--no-progress", out_.progress, "Draw no progress");
    app.add_option("--color", out_.color, "Colours: auto, always or never")
        ->transform(CLI::CheckedTransformer(std::map<std::string, ColorMode>{
            {"auto", ColorMode::automatic}, {"always", ColorMode::always}, {"never", ColorMode::never}}));
    app.add_option("--plugin-dir", out_.plugin_dirs, "Search this folder for plugins first; repeatable")
        ->expected(1)
        ->take_all();
  }

  void subject(CLI::App& app, const char* name, const char* help, bool required) {
    app.add_option(name, out_.subject, help)->required(required);
  }

  void add_recipe_flags(CLI::App& app) {
    shorthands_.add_to(app, out_);
    app.add_option("--set", sets_, "Set a recipe key: --set quantize.bits=6; repeatable")
        ->type_name("KEY=VALUE")
        ->expected(1)
        ->take_all();
  }

  void add_conversion(CLI::App& app, bool writes) {
    subject(app, "RECIPE", "Path, or name of a shipped recipe (default: dolphin3-llama3.1-8b, or base with --model)",
            false);
    add_recipe_flags(app);
    app.add_option("-o,--output", out_.run.output, "The package to write");
    app.add_option("-j,--threads", out_.run.threads, "Worker threads (default: all cores)");
    app.add_option("--max-memory", max_memory_, "Bound on resident memory, e.g. 2G (default: 1G)");
    app.add_flag("--force", out_.run.force, "Replace an existing output");
    app.add_flag("--resume,!--no-resume", out_.run.resume, "Continue an interrupted run (default), or start afresh");
    if (writes) app.add_flag("--dry-run", dry_run_, "The same as plan");
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

  CLI::App app_{"Converts Llama-architecture language models, with their LoRA adapters, to Core ML packages."};
  Arguments& out_;
  Shorthands shorthands_;
  std::vector<std::string> sets_;
  std::string max_memory_;
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
