// The command line as typed, checked and sorted into what each command needs. CLI11 stays in arguments.cpp.
#pragma once

#include "host/cli/bench.hpp"
#include "host/cli/cache.hpp"
#include "host/cli/chat.hpp"
#include "host/cli/diff.hpp"
#include "host/cli/embed.hpp"
#include "host/cli/generate.hpp"
#include "host/cli/lint.hpp"
#include "host/cli/tokenize.hpp"
#include "host/cli/verify.hpp"
#include "host/convert/conversion.hpp"
#include "host/merge/merge.hpp"
#include "host/platform/terminal.hpp"
#include "host/recipe/recipe.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host::cli {

enum class Command {
  convert,
  assemble,
  plan,
  merge,
  diff,
  inspect,
  lint,
  clean,
  generate,
  chat,
  embed,
  bench,
  tokenize,
  verify,
  cache_list,
  cache_verify,
  cache_prune,
  doctor,
  plugins_list,
  plugins_info,
  plugins_test,
  recipe_check,
  recipe_show,
  recipe_schema,
  recipe_reference
};

struct Arguments {
  Command command = Command::convert;
  bool json = false;
  bool quiet = false;
  int verbose = 0;
  bool progress = true;
  ColorMode color = ColorMode::automatic;
  std::vector<std::filesystem::path> plugin_dirs;

  std::string subject;              ///< recipe, package or plugin: the command's one positional argument
  std::vector<Override> overrides;  ///< shorthands first, then --set, each in the order typed
  bool names_model = false;         ///< --model was given
  RunOptions run;
  MergeOptions merge;
  DiffCommandOptions diff;

  // Of the commands they are named after.
  GenerateOptions generate;
  LintOptions lint;
  ChatCommandOptions chat;
  EmbedOptions embed;
  BenchOptions bench;
  CacheOptions cache;
  TokenizeOptions tokenize;
  std::vector<std::string> rules;  ///< of plugins test
  VerifyOptions verify;            ///< also of convert, where profile_validate is set
  bool profile_validate = false;
};

/// Where parsing ends without a command: help and version texts for stdout.
struct Answer {
  std::string text;
};

/// Error(usage) for anything that does not parse; an unknown flag is answered with the nearest one.
/// `json` is set as soon as it is seen, so that even a parse error is reported the way that was asked for.
[[nodiscard]] std::optional<Answer> parse(int argc, const char* const* argv, Arguments& arguments);

/// "DIR[:WEIGHT]": what follows the last colon is a weight if it reads as a number.
struct AdapterArgument {
  std::string path;
  double weight = 1;
};
[[nodiscard]] AdapterArgument parse_adapter(const std::string& text);

}  // namespace d2c::host::cli
