// Which of an encoder's weights need more bits, where the ones it has do not keep its embeddings.
#pragma once

#include "host/inference/embedder.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/recipe/recipe.hpp"
#include "host/verify/reference.hpp"

#include <d2c/value.hpp>

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

/// A rule that stores some weights better: "match" names them, "bits" is what they get, or 16 for unquantized.
struct FinerRule {
  std::string match;
  std::int64_t bits = 0;
};

/// What the encoder is worth with some rules added to its recipe.
struct Relief {
  std::vector<FinerRule> rules;
  std::int64_t added_bytes = 0;
  double least_cosine = 0, least_centred_cosine = 0;
};

struct ReliefSearch {
  Relief as_it_is;            ///< without any rule
  std::vector<Relief> alone;  ///< each kind of weight by itself, the one that gains most first
  Relief enough;              ///< of those, as many as bring every sentence to the threshold, or all
};

/// Converts the encoder of `recipe` once for each kind of quantized weight and measures it on the reference's sentences.
/// Every conversion is one of the encoder alone, in a temporary folder.
[[nodiscard]] ReliefSearch search_encoder_relief(const Recipe& recipe, PluginRegistry& plugins,
                                                 std::span<const ReferenceSentence> sentences, double min_cosine,
                                                 const RunnerOptions& runner);

/// "as_it_is", "alone", "enough": each with "rules" [{match, bits}], "added_bytes", "least_cosine",
/// "least_centred_cosine".
[[nodiscard]] Value to_value(const ReliefSearch& search);

}  // namespace d2c::host
