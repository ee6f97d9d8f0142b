// Emits `encode`: a Llama model whose tokens all see each other, pooled to one embedding.
#pragma once

#include <d2c/plugin.hpp>

namespace d2c::llama {

class Llm2VecEncoder final : public FunctionEmitter {
 public:
  explicit Llm2VecEncoder(const Config& /*options*/) {}

  void emit(const EmitRequest& request, Graph& graph) override;
};

}  // namespace d2c::llama
