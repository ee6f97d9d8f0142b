// What the graph builder asks about weights while an emitter runs. The planner answers.
#pragma once

#include <d2c/graph.hpp>
#include <d2c/tensor.hpp>

#include <cstdint>
#include <string>

namespace d2c::host {

class WeightCatalogue {
 public:
  virtual ~WeightCatalogue() = default;

  struct Entry {
    std::uint32_t index;  ///< in the program's weight table; equal references give equal indices
    TensorType type;      ///< as the graph sees it: padded rows included, fp16 or fp32
    std::string name;     ///< MIL identifier, unique among weights
  };

  /// Throws Error(input) where the tensor is missing or its shape is not the expected one.
  [[nodiscard]] virtual Entry resolve(const WeightRef& ref) = 0;
  [[nodiscard]] virtual bool has_tensor(std::uint32_t source, const std::string& tensor) const = 0;
  [[nodiscard]] virtual int adapter_rank(const std::string& stack, const std::string& tensor) const = 0;
};

}  // namespace d2c::host
