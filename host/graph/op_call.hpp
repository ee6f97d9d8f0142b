// One op as an emitter wants to add it: its parameters by name, checked against what MIL says about the op.
#pragma once

#include <d2c/graph.hpp>
#include <d2c/tensor.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::host {

/// A set of element types.
using DTypes = std::uint32_t;

inline constexpr DTypes kF16 = 1u << 0;
inline constexpr DTypes kF32 = 1u << 1;
inline constexpr DTypes kI32 = 1u << 2;
inline constexpr DTypes kBool = 1u << 3;
inline constexpr DTypes kSmall = 1u << 4;  ///< int8, uint8, int16, uint16
inline constexpr DTypes kText = 1u << 5;
inline constexpr DTypes kFloat = kF16 | kF32;
inline constexpr DTypes kNumber = kFloat | kI32;
inline constexpr DTypes kIndex = kI32 | kSmall;
inline constexpr DTypes kTensor = kNumber | kBool | kSmall;

enum ParameterFlags : std::uint32_t {
  kRequired = 0,
  kOptional = 1,
  kConstant = 2,  ///< must be known when the model is compiled
  kVariadic = 4,  ///< takes one or more values
  kState = 8,     ///< takes a state, and only a state
};

struct ParameterSpec {
  const char* name = nullptr;
  DTypes dtypes = 0;
  std::uint32_t flags = kRequired;
  char group = 0;  ///< parameters with one letter share one element type; 0: free
};

class OpCall;

/// What MIL says about one op. `infer` returns the types of its results or refuses the call.
struct OpSpec {
  static constexpr std::size_t kMaxParameters = 8;

  const char* type = nullptr;
  ParameterSpec parameters[kMaxParameters];
  std::vector<TensorType> (*infer)(const OpCall&) = nullptr;

  [[nodiscard]] const ParameterSpec* find(std::string_view parameter) const noexcept;
};

/// A value as inference sees it.
struct Operand {
  TensorType type;
  d2c_node_kind kind = D2C_NODE_RESULT;
  const Constant* value = nullptr;  ///< of constants that emitters made; null where only run time knows

  [[nodiscard]] bool compile_time() const noexcept { return kind == D2C_NODE_CONSTANT || kind == D2C_NODE_WEIGHT; }
};

struct BoundArgument {
  std::string parameter;
  std::vector<Operand> operands;
};

/// Parameters by name. Every member refuses through `fail`, which names the function, the op and its hint.
class OpCall {
 public:
  /// Checks presence, element types and constness of every argument.
  OpCall(const OpSpec& spec, std::string where, std::vector<BoundArgument> arguments);

  [[nodiscard]] bool has(std::string_view parameter) const noexcept { return find(parameter) != nullptr; }
  [[nodiscard]] const TensorType& type(std::string_view parameter) const { return operands(parameter).front().type; }
  [[nodiscard]] const Shape& shape(std::string_view parameter) const { return type(parameter).shape; }
  [[nodiscard]] std::span<const Operand> operands(std::string_view parameter) const;

  /// The integers of a rank 0 or 1 parameter where they are known now, nothing otherwise.
  [[nodiscard]] std::optional<Shape> known_integers(std::string_view parameter) const;
  /// The same where a static shape depends on them.
  [[nodiscard]] Shape integers(std::string_view parameter) const;
  [[nodiscard]] std::int64_t integer_or(std::string_view parameter, std::int64_t fallback) const;
  [[nodiscard]] bool boolean_or(std::string_view parameter, bool fallback) const;
  /// A bool[count] parameter; all false where it is left out.
  [[nodiscard]] std::vector<bool> booleans(std::string_view parameter, std::size_t count) const;
  [[nodiscard]] std::string text(std::string_view parameter) const;
  /// An axis of a tensor of that rank, counted from the end where negative.
  [[nodiscard]] std::size_t axis_or(std::string_view parameter, std::int64_t fallback, std::size_t rank) const;
  [[nodiscard]] std::size_t normalized_axis(std::int64_t axis, std::size_t rank) const;
  /// Distinct axes, as a mask over the dimensions.
  [[nodiscard]] std::vector<bool> axes_mask(const Shape& axes, std::size_t rank) const;

  /// "x fp16[1,8,64]"
  [[nodiscard]] std::string describe(std::string_view parameter) const;
  [[noreturn]] void fail(const std::string& message) const;

 private:
  [[nodiscard]] const BoundArgument* find(std::string_view parameter) const noexcept;
  [[nodiscard]] const Operand* scalar(std::string_view parameter) const;
  void check_names() const;
  void check_operands(const ParameterSpec& spec, const BoundArgument& argument) const;
  void check_groups() const;

  const OpSpec& spec_;
  std::string where_;
  std::vector<BoundArgument> arguments_;
};

/// Shape of an elementwise operation over both. Refuses shapes that do not broadcast.
[[nodiscard]] Shape broadcast(const OpCall& call, std::span<const std::int64_t> a, std::span<const std::int64_t> b);

}  // namespace d2c::host
