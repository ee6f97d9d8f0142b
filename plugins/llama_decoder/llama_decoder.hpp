// Emits `init` (prefill one chunk) and `decode` (one token) of a Llama model with its key/value cache in states.
#pragma once

#include <d2c/plugin.hpp>

namespace d2c::llama {

class LlamaDecoder final : public FunctionEmitter {
 public:
  static constexpr OptionSpec kOptions[] = {
      {"all_logits", D2C_VALUE_BOOL, "false", nullptr, "`init` gives the logits of every token of its chunk."}};

  explicit LlamaDecoder(const Config& options) : all_logits_(options.get_or("all_logits", false)) {}

  void emit(const EmitRequest& request, Graph& graph) override;

 private:
  bool all_logits_;
};

}  // namespace d2c::llama
