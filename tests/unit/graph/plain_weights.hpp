// A weight catalogue for graphs that need one or two weights.
#pragma once

#include "host/graph/function_builder.hpp"

#include <d2c/error.hpp>

#include <string>

namespace d2c::host::test {

/// Any tensor is an fp16 weight of the shape asked for; "missing" is refused.
class PlainWeights final : public WeightCatalogue {
 public:
  Entry resolve(const WeightRef& ref) override {
    if (ref.tensor == "missing") fail_input("no tensor 'missing'");
    return {ref.tensor == "a" ? 0u : 1u, {DType::f16, ref.shape}, "weight_" + ref.tensor};
  }
  bool has_tensor(std::uint32_t, const std::string& tensor) const override { return tensor != "missing"; }
  int adapter_rank(const std::string& stack, const std::string&) const override {
    if (stack == "broken") fail_input("no stack 'broken'");
    return stack == "chat" ? 8 : 0;
  }
};

}  // namespace d2c::host::test
