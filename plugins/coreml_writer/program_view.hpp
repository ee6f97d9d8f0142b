// The host's program with everything checked that Core ML's format asks for, so that what follows can rely on it.
#pragma once

#include "plugins/coreml_writer/weight_form.hpp"

#include <d2c/plugin.hpp>

#include <span>
#include <string>
#include <vector>

namespace d2c::coreml_writer {

/// Refers to the program, which must outlive it.
class ProgramView {
 public:
  /// Error(plugin) names the function and the value that break a rule.
  explicit ProgramView(const d2c_program& program);

  [[nodiscard]] const std::vector<const d2c_function*>& functions() const noexcept { return functions_; }
  [[nodiscard]] const char* default_function() const noexcept { return program_->default_function; }
  [[nodiscard]] std::span<const d2c_tensor> constants() const noexcept {
    return {program_->constants, program_->constant_count};
  }
  [[nodiscard]] std::size_t weight_count() const noexcept { return weights_.size(); }
  [[nodiscard]] const d2c_weight& weight(std::size_t index) const { return *weights_[index]; }
  [[nodiscard]] const WeightForm& form(std::size_t weight) const { return forms_[weight]; }
  /// Is the constant or weight an argument of any op?
  [[nodiscard]] bool uses_constant(std::size_t index) const { return used_constants_[index]; }
  [[nodiscard]] bool uses_weight(std::size_t index) const { return used_weights_[index]; }

 private:
  const d2c_program* program_;
  std::vector<const d2c_function*> functions_;
  std::vector<const d2c_weight*> weights_;
  std::vector<WeightForm> forms_;
  std::vector<bool> used_constants_, used_weights_;
};

inline std::span<const d2c_node> nodes_of(const d2c_function& f) { return {f.nodes, f.node_count}; }
inline std::span<const d2c_op> ops_of(const d2c_function& f) { return {f.ops, f.op_count}; }
inline std::span<const d2c_value_id> outputs_of(const d2c_function& f) { return {f.outputs, f.output_count}; }
inline std::span<const d2c_argument> arguments_of(const d2c_op& op) { return {op.arguments, op.argument_count}; }
inline std::span<const d2c_value_id> values_of(const d2c_argument& a) { return {a.values, a.count}; }
inline std::span<const d2c_value_id> results_of(const d2c_op& op) { return {op.results, op.result_count}; }
inline std::span<const std::byte> data_of(const d2c_tensor& t) {
  return {static_cast<const std::byte*>(t.data), t.size};
}

}  // namespace d2c::coreml_writer
