// Emits `init` (prefill one chunk) and `decode` (one token) of a Llama model with its key/value cache in states.
#pragma once

#include <d2c/plugin.hpp>

namespace d2c::llama {

class LlamaDecoder final : public FunctionEmitter {
 public:
  explicit LlamaDecoder(const Config& /*options*/) {}

  void emit(const EmitRequest& request, Graph& graph) override;
};

}  // namespace d2c::llama
