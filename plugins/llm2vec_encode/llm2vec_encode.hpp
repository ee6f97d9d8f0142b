// Emits `encode`: a Llama model whose tokens all see each other, pooled to one embedding.
#pragma once

#include <d2c/plugin.hpp>

#include <cstdint>

namespace d2c::llama {

class Llm2VecEncoder final : public FunctionEmitter {
 public:
  static constexpr OptionSpec kOptions[] = {
      {"length", D2C_VALUE_INTEGER, "0", nullptr, "Tokens that the function takes; 0: encoder.max_length."},
      {"batch", D2C_VALUE_INTEGER, "1", nullptr, "Texts that the function takes."}};

  explicit Llm2VecEncoder(const Config& options)
      : length_(options.get_or("length", 0)), batch_(options.get_or("batch", 1)) {}

  void emit(const EmitRequest& request, Graph& graph) override;

 private:
  std::int64_t length_, batch_;
};

}  // namespace d2c::llama
