// What a check of a package compares, and how far off it may be: the recipe's [verify].
#pragma once

#include <d2c/value.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host {

struct VerifySettings {
  std::vector<std::string> prompts, sentences;  ///< built-in ones where none are given
  std::string text;                             ///< path of a text; empty: none
  std::int64_t max_new_tokens = 32;
  std::optional<double> max_logit_error;  ///< absent: by the precision of the package
  double max_divergence = 0, min_agreement = 0, max_perplexity_ratio = 0;
  double min_cosine = 0, min_centred_cosine = 0, min_rank_correlation = 0;

  /// `verify`: a resolved [verify] section.
  static VerifySettings parse(const Value& verify);
};

/// `verify` with what the [verify] section of a recipe file says instead; the rest of the file does not matter.
/// Error(usage) with file, line and column for whatever a recipe may not say.
[[nodiscard]] Value with_golden_config(Value verify, const std::filesystem::path& file);

}  // namespace d2c::host
