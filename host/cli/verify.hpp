// `verify`: whether a package says what it should, and `convert --profile-validate`.
#pragma once

#include "host/inference/model.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/recipe/recipe.hpp"

#include <d2c/value.hpp>

#include <string>
#include <vector>

namespace d2c::host::cli {

struct Arguments;

struct VerifyOptions {
  std::vector<std::string> goldens;  ///< golden files
  std::string golden_config;         ///< a recipe file whose [verify] counts
  std::string text;                  ///< a text file, in place of verify.text
  std::string report;                ///< where the report is written as JSON, too
  std::string tokenizer;             ///< where the tokenizer's files are, if not in the package
  bool advise = false;               ///< where embeddings fail, find the weights that need more bits
  RunnerOptions runner;
};

/// CheckFailed where a check fails, or where there is nothing to compare with.
[[nodiscard]] std::string verify(const Arguments& arguments);

/// Compares a package with the source that `recipe` names: the report, already written where the options say.
[[nodiscard]] Value validate(const Arguments& arguments, const Recipe& recipe, PluginRegistry& plugins,
                             const std::string& package);

/// A report for people.
[[nodiscard]] std::string validation_text(const Value& report);

}  // namespace d2c::host::cli
