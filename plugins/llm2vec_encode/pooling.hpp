// From token vectors to one embedding.
#pragma once

#include "plugins/llm2vec_encode/encoder_settings.hpp"

#include <d2c/graph.hpp>

namespace d2c::llama {

/// `hidden` fp32 [texts, tokens, features], `pooling_mask` int32 [texts, tokens], positive where a token counts. Gives fp32
/// [texts, features]; zeros where no token counts.
[[nodiscard]] Node pool(Graph& g, Pooling pooling, Node hidden, Node pooling_mask);

}  // namespace d2c::llama
