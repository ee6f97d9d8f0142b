// How a compressed weight appears in a program: the op that expands it and that op's parameters.
#pragma once

#include <d2c/plugin.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace d2c::coreml_writer {

struct WeightForm {
  struct Parameter {
    const char* name;
    std::size_t plane;  ///< of the weight's layout
    TensorType type;
  };

  const char* op;  ///< "const", "constexpr_lut_to_dense" or "constexpr_blockwise_shift_scale"
  std::vector<Parameter> parameters;
  std::optional<std::int32_t> vector_axis;  ///< palettes whose entries are vectors
};

/// Error(plugin) where the layout's planes do not make the weight's type by Core ML's rules.
[[nodiscard]] WeightForm form_of(const d2c_weight& weight);

}  // namespace d2c::coreml_writer
