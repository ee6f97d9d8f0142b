// What the recipe's [graph] table says, checked against the model.
#pragma once

#include "libs/llama_blocks/llama_config.hpp"

#include <d2c/tensor.hpp>
#include <d2c/value.hpp>

#include <cstdint>

namespace d2c::llama {

enum class KvLayout { packed, split };

enum class AttentionForm {
  explicit_ops,  ///< matmuls over grouped queries by 5-D broadcast, softmax in fp32
  fused,         ///< the scaled_dot_product_attention op over repeated keys and values
};

/// Upper bound on context and encoder.max_length: the RoPE tables are built for every position.
inline constexpr std::int64_t kMaxPositions = 1 << 18;

struct GraphSettings {
  std::int64_t context = 0;
  std::int64_t prefill = 0;
  KvLayout kv = KvLayout::packed;
  AttentionForm attention = AttentionForm::explicit_ops;
  DType precision = DType::f16;

  /// `graph` is the recipe's table. Defaults: context min(max_position_embeddings, 2048), prefill min(context, 64).
  /// Errors are Error(usage) saying which key to set.
  static GraphSettings parse(const Value& graph, const LlamaConfig& config);
  /// For functions without a cache: context and prefill, which may be meant for another model, stay 0.
  static GraphSettings parse_uncached(const Value& graph);
};

[[nodiscard]] const char* name_of(KvLayout layout);

}  // namespace d2c::llama
