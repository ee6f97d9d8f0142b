// A recipe made concrete: graphs built, weights resolved, every byte of the package laid out; nothing read yet.
#pragma once

#include "host/convert/model_inputs.hpp"
#include "host/graph/program_view.hpp"
#include "host/loader/plugin_registry.hpp"
#include "host/planner/quantization.hpp"
#include "host/planner/weight_table.hpp"
#include "host/recipe/recipe.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace d2c::host {

class Assembly {
 public:
  Assembly(const Recipe& recipe, PluginRegistry& plugins);

  [[nodiscard]] const ModelInputs& inputs() const noexcept { return inputs_; }
  [[nodiscard]] const std::vector<std::unique_ptr<PlannedWeight>>& weights() const noexcept {
    return table_->weights();
  }
  [[nodiscard]] const Program& program() const noexcept { return view_->program(); }
  [[nodiscard]] const Handle<d2c_package_writer>& writer() const noexcept { return *writer_; }
  /// Exact size of the weight file.
  [[nodiscard]] std::uint64_t weight_bytes() const noexcept { return weight_bytes_; }
  [[nodiscard]] const std::string& precision() const noexcept { return precision_; }
  /// Bytes of the weights that the encoder's functions would need beside all others, had they that policy. The policy is
  /// one that objection_to() has nothing against.
  [[nodiscard]] std::uint64_t encoder_bytes(WeightPolicy policy) const;
  /// Things a reader of the report should know: padded rows, adapters without effect.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }
  /// Every plugin that determines the output, each once, in the order of use.
  [[nodiscard]] const std::vector<const Plugin*>& plugins() const noexcept { return used_plugins_; }

 private:
  [[nodiscard]] std::unique_ptr<WeightTable> make_table() const;
  void resolve_settings(const Recipe& recipe);
  void emit(const Recipe& recipe, PluginRegistry& plugins, const FunctionSection& section, Program& program);
  void lay_out(const Recipe& recipe, PluginRegistry& plugins, Program program);
  void collect_notes();
  void use(const Plugin& plugin);

  ModelInputs inputs_;
  std::vector<std::string> function_stacks_;  ///< of the program's functions, in their order
  std::string precision_;
  Value settings_ = Value::table();  ///< what emitters see: {"graph": ..., "encoder": ...}
  std::unique_ptr<Quantization> quantization_;
  std::unique_ptr<WeightTable> table_;
  std::unique_ptr<ProgramView> view_;
  std::unique_ptr<Handle<d2c_package_writer>> writer_;
  std::uint64_t weight_bytes_ = 0;
  std::vector<std::string> notes_;
  std::vector<const Plugin*> used_plugins_;
};

}  // namespace d2c::host
