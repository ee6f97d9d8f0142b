// Records one function while an emitter builds it, checking every op as it is added.
#pragma once

#include "host/graph/program.hpp"
#include "host/graph/weight_catalogue.hpp"

#include <d2c/abi.h>
#include <d2c/error.hpp>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace d2c::host {

/// Records why a call failed and returns the code, as d2c_host.fail does.
using FailFunction = std::function<d2c_code(d2c_code code, const char* message)>;

/// Hand `c()` to an emitter, then take the function over with `finish()`. Not thread-safe; stays where it is, because
/// the C table points at it.
///
///     FunctionBuilder builder(program, catalogue, "decode", fail);
///     emitter.check(emitter->emit(emitter->self, &request, &builder.c()));
///     builder.finish();
///
/// The C++ members throw; through the C table the same errors become codes, their text goes to the FailFunction.
class FunctionBuilder {
 public:
  /// `program` and `catalogue` must outlive the builder.
  FunctionBuilder(Program& program, WeightCatalogue& catalogue, std::string function, FailFunction fail);
  FunctionBuilder(const FunctionBuilder&) = delete;
  FunctionBuilder& operator=(const FunctionBuilder&) = delete;

  [[nodiscard]] const d2c_graph_builder& c() const noexcept { return c_; }

  /// Checks that the function has outputs and adds it to the program. The builder is empty afterwards.
  void finish();

  d2c_value_id input(std::string_view name, const TensorType& type);
  d2c_value_id state(std::string_view name, const TensorType& type);
  d2c_value_id constant(std::string_view name, Constant value);
  d2c_value_id weight(const WeightRef& ref);
  std::vector<d2c_value_id> op(std::string_view type, std::string_view name, std::span<const d2c_argument> arguments,
                               std::size_t result_count);
  void output(d2c_value_id value, std::string_view name);
  [[nodiscard]] const TensorType& type_of(d2c_value_id value) const { return node(value).type; }

 private:
  template <class Body>
  d2c_code guarded(Body&& body) noexcept;
  template <class Body>
  std::int32_t guarded_answer(Body&& body) noexcept;
  void fill_c_table();

  [[nodiscard]] const GraphNode& node(d2c_value_id id) const;
  d2c_value_id feature(std::string_view name, d2c_node_kind kind, const TensorType& type);
  d2c_value_id add_node(std::string_view hint, d2c_node_kind kind, std::uint32_t index, TensorType type);
  void check_feature_name(std::string_view name) const;
  /// A legal name that nothing in the function has yet; it is taken from then on.
  std::string claim_name(std::string_view hint);
  void rename(d2c_value_id value, const std::string& name);
  [[nodiscard]] bool is_output(d2c_value_id value) const;

  Program& program_;
  WeightCatalogue& catalogue_;
  FailFunction fail_;
  GraphFunction function_;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, std::uint32_t> next_suffix_;
  std::unordered_map<std::uint32_t, d2c_value_id> constant_nodes_;
  std::unordered_map<std::uint32_t, d2c_value_id> weight_nodes_;
  std::optional<Error> deferred_;  ///< raised in a callback that cannot report: the next one that can does
  d2c_graph_builder c_{};
};

}  // namespace d2c::host
