// The inside of compile(): values as far as they are known, and the steps being collected. Ops are added by the functions
// of ops.hpp.
#pragma once

#include "libs/mil_cpu/fusion.hpp"
#include "libs/mil_cpu/plan.hpp"

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::mil_cpu {

/// What is known of a value while compiling. A value is in one of three forms: stored (a constant), a region of a state,
/// or numbers in the arena; `Compiler::numbers` turns the first two into the third where an op needs that.
struct Tensor {
  TensorType type;
  std::shared_ptr<Place> place;
  std::shared_ptr<const Stored> stored;
  std::optional<StateRegion> region;
};

class Compiler {
 public:
  Compiler(const Function& function, const std::vector<Feature>& states, const CompileOptions& options,
           const std::string& where);

  Plan compile();

  [[nodiscard]] const CompileOptions& options() const noexcept { return options_; }
  [[nodiscard]] const Fusions& fusions() const noexcept { return fusions_; }
  [[nodiscard]] const Tensor& tensor(ValueId id) const { return tensors_[id]; }
  /// The numbers of a value; remembers that the current op reads them.
  std::shared_ptr<const Place> numbers(ValueId id);
  /// A place for the numbers of a result of the current op.
  std::shared_ptr<Place> make(ValueId id);
  /// Working memory of the current op.
  std::shared_ptr<const Place> scratch(std::size_t bytes);
  /// The result is the same numbers under another type.
  void alias(ValueId result, ValueId of);
  /// Corrects what the program declares.
  void set_type(ValueId id, TensorType type) { tensors_[id].type = std::move(type); }
  void set_region(ValueId result, StateRegion region);
  void add(Step step) { plan_.steps.push_back(std::move(step)); }
  /// Rounds a result as the program stores it, where the precision asks for that.
  void round_result(ValueId id);
  [[nodiscard]] std::size_t state_index(ValueId state) const;
  [[nodiscard]] DType state_dtype(const StateRegion& region) const { return states_[region.state].type.dtype; }
  /// The state that an update in place writes to.
  [[nodiscard]] std::size_t update_state(std::size_t operation) const {
    return state_index(fusions_.in_place.at(operation));
  }

 private:
  struct Buffer {
    std::shared_ptr<Place> place;
    std::size_t bytes = 0, first = 0, last = 0;
  };

  std::shared_ptr<Place> new_buffer(std::size_t bytes);
  void touch(const Place& place);
  void add_constant(ValueId id);
  std::shared_ptr<Place> materialize(const Tensor& tensor);
  void assign_offsets();

  const Function& function_;
  const std::vector<Feature>& states_;
  const CompileOptions& options_;
  std::string where_;
  Fusions fusions_;
  std::vector<Tensor> tensors_;
  std::vector<Buffer> buffers_;
  std::map<const Place*, std::size_t> buffer_of_;
  std::size_t now_ = 0;
  Plan plan_;
};

/// One op being compiled: its operands by name, and refusals that say which op they are about.
class Op {
 public:
  Op(Compiler& compiler, const Function& function, std::size_t index, std::string where);

  [[nodiscard]] Compiler& compiler() const noexcept { return compiler_; }
  [[nodiscard]] const Operation& operation() const noexcept { return operation_; }
  [[nodiscard]] std::size_t index() const noexcept { return index_; }

  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] ValueId id(std::string_view name) const;
  [[nodiscard]] std::span<const ValueId> ids(std::string_view name) const;
  [[nodiscard]] const Tensor& tensor(std::string_view name) const { return compiler_.tensor(id(name)); }
  [[nodiscard]] const TensorType& type(std::string_view name) const { return tensor(name).type; }
  [[nodiscard]] const Shape& shape(std::string_view name) const { return type(name).shape; }
  [[nodiscard]] std::shared_ptr<const Place> numbers(std::string_view name) const {
    return compiler_.numbers(id(name));
  }

  /// Parameters that must be known now. Error(input) where they are not.
  [[nodiscard]] Shape integers(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t fallback) const;
  [[nodiscard]] double real(std::string_view name, double fallback) const;
  [[nodiscard]] std::string text(std::string_view name) const;
  [[nodiscard]] std::vector<bool> flags(std::string_view name, std::size_t count) const;
  [[nodiscard]] std::size_t axis(std::string_view name, std::int64_t fallback, std::size_t rank) const;
  [[nodiscard]] std::size_t normalized(std::int64_t axis, std::size_t rank) const;

  /// The id of result `i`, after checking that the program declares it as `type`.
  ValueId result(const TensorType& type, std::size_t i = 0) const;
  void need_results(std::size_t count) const;
  /// Refuses parameters that are none of `names`.
  void only(std::initializer_list<std::string_view> names) const;
  void need_real(std::string_view name) const;
  [[noreturn]] void fail(const std::string& message) const;

 private:
  Compiler& compiler_;
  const Function& function_;
  const Operation& operation_;
  std::size_t index_;
  std::string where_;
};

/// Numbers of a shape that both operands broadcast to.
[[nodiscard]] Shape broadcast(const Op& op, const Shape& a, const Shape& b);

/// Strides of a tensor read as if it had the shape `to`: 0 where it repeats.
[[nodiscard]] Shape broadcast_strides(const Shape& from, const Shape& to);

/// Widens elements [first, first + count) of a region of a state that holds `dtype`.
void read_region(const Frame& frame, const StateRegion& region, DType dtype, std::int64_t first, std::int64_t count,
                 float* out);

/// Where an element of a broadcast tensor lies in the one it was broadcast from.
class BroadcastIndex {
 public:
  BroadcastIndex(const Shape& from, const Shape& to) : extents_(to), strides_(broadcast_strides(from, to)) {}

  [[nodiscard]] std::int64_t operator()(std::int64_t index) const noexcept {
    std::int64_t at = 0;
    for (std::size_t a = extents_.size(); a-- > 0; index /= extents_[a]) at += index % extents_[a] * strides_[a];
    return at;
  }

 private:
  Shape extents_, strides_;
};

}  // namespace d2c::mil_cpu
