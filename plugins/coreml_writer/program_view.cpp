#include "plugins/coreml_writer/program_view.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace d2c::coreml_writer {
namespace {

/// The elements of an array whose elements may be longer than this plugin's idea of them.
template <class Struct>
std::vector<const Struct*> elements(const Struct* first, std::size_t count) {
  std::vector<const Struct*> out;
  for (std::size_t i = 0; i < count; ++i)
    out.push_back(reinterpret_cast<const Struct*>(reinterpret_cast<const char*>(first) + i * first->struct_size));
  return out;
}

constexpr std::string_view kReserved[] = {"any",   "bool",  "program", "func",  "tensor", "list",   "dict",   "tuple",
                                          "true",  "false", "string",  "bf16",  "fp16",   "fp32",   "fp64",   "int8",
                                          "int16", "int32", "int64",   "uint8", "uint16", "uint32", "uint64", "state"};

bool is_identifier(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && is_letter(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || is_digit(c); }) &&
         std::ranges::find(kReserved, name) == std::end(kReserved);
}

void check_constant(const d2c_tensor& t, std::size_t index) {
  const TensorType type = TensorType::from_c(t.type);
  const std::string where = "constant " + std::to_string(index) + " " + type.text();
  if (type.dtype == DType::string) {
    const auto* text = static_cast<const char*>(t.data);
    if (!type.shape.empty() || t.size == 0 || text[t.size - 1] != '\0')
      fail(Code::plugin, where + " is not one NUL-terminated string");
    return;
  }
  if (bits_of(type.dtype) == 0 || type.dtype == DType::bf16)
    fail(Code::plugin, where + ": Core ML has no constants of this type");
  if (t.size != static_cast<std::size_t>(type.bytes()))
    fail(Code::plugin, where + " comes with " + std::to_string(t.size) + " bytes");
}

class FunctionCheck {
 public:
  FunctionCheck(const ProgramView& program, const d2c_function& function, std::vector<bool>& constants,
                std::vector<bool>& weights)
      : program_(program), function_(function), used_constants_(constants), used_weights_(weights) {}

  void run() {
    if (!is_identifier(function_.name)) refuse("its name is no identifier");
    defined_.resize(function_.node_count);
    std::unordered_set<std::string_view> names;
    for (std::size_t id = 0; id < function_.node_count; ++id) {
      const d2c_node& node = function_.nodes[id];
      if (!is_identifier(node.name)) refuse(node, "its name is no identifier");
      if (!names.insert(node.name).second) refuse(node, "its name is used twice");
      check_node(node);
      defined_[id] = node.kind != D2C_NODE_RESULT;
    }
    for (const d2c_op& op : ops_of(function_)) check_op(op);
    check_outputs();
  }

 private:
  void check_node(const d2c_node& node) {
    const DType dtype = TensorType::from_c(node.type).dtype;
    switch (node.kind) {
      case D2C_NODE_INPUT: return check_feature(node, dtype);
      case D2C_NODE_STATE:
        if (dtype != DType::f16) refuse(node, "states are fp16");
        return;
      case D2C_NODE_CONSTANT:
        if (node.index >= program_.constants().size()) refuse(node, "names no constant");
        return check_same_type(node, program_.constants()[node.index].type);
      case D2C_NODE_WEIGHT:
        if (node.index >= program_.weight_count()) refuse(node, "names no weight");
        return check_same_type(node, program_.weight(node.index).type);
      case D2C_NODE_RESULT: return;
      default: refuse(node, "unknown kind " + std::to_string(node.kind));
    }
  }

  void check_feature(const d2c_node& node, DType dtype) {
    if (dtype != DType::f16 && dtype != DType::f32 && dtype != DType::i32)
      refuse(node, "inputs and outputs are fp16, fp32 or int32; cast it");
  }

  void check_same_type(const d2c_node& node, const d2c_type& type) {
    if (TensorType::from_c(node.type) != TensorType::from_c(type))
      refuse(node, "stands for " + TensorType::from_c(type).text());
  }

  void check_op(const d2c_op& op) {
    for (const d2c_argument& argument : arguments_of(op)) {
      if (argument.count == 0) refuse_op(op, std::string("'") + argument.name + "' has no value");
      for (const d2c_value_id id : values_of(argument)) {
        if (id >= function_.node_count || !defined_[id])
          refuse_op(op, std::string("'") + argument.name + "' is not defined before it");
        mark_used(function_.nodes[id]);
      }
    }
    for (const d2c_value_id id : results_of(op)) {
      if (id >= function_.node_count || function_.nodes[id].kind != D2C_NODE_RESULT || defined_[id])
        refuse_op(op, "its result is no new value");
      defined_[id] = true;
    }
  }

  void mark_used(const d2c_node& node) {
    if (node.kind == D2C_NODE_CONSTANT) used_constants_[node.index] = true;
    if (node.kind == D2C_NODE_WEIGHT) used_weights_[node.index] = true;
  }

  void check_outputs() {
    if (function_.output_count == 0) refuse("it has no outputs");
    std::unordered_set<d2c_value_id> seen;
    for (const d2c_value_id id : outputs_of(function_)) {
      if (id >= function_.node_count || !defined_[id]) refuse("an output is not defined");
      const d2c_node& node = function_.nodes[id];
      if (node.kind != D2C_NODE_RESULT) refuse(node, "an output must be the result of an op; pass it through identity");
      if (!seen.insert(id).second) refuse(node, "is an output twice");
      check_feature(node, TensorType::from_c(node.type).dtype);
    }
  }

  [[noreturn]] void refuse(const std::string& why) const {
    fail(Code::plugin, std::string("function '") + function_.name + "': " + why);
  }
  [[noreturn]] void refuse(const d2c_node& node, const std::string& why) const {
    refuse(std::string("value '") + node.name + "' " + TensorType::from_c(node.type).text() + ": " + why);
  }
  [[noreturn]] void refuse_op(const d2c_op& op, const std::string& why) const {
    refuse(std::string(op.type) + " '" + op.name + "': " + why);
  }

  const ProgramView& program_;
  const d2c_function& function_;
  std::vector<bool>&used_constants_, &used_weights_;
  std::vector<bool> defined_;
};

}  // namespace

ProgramView::ProgramView(const d2c_program& program)
    : program_(&program),
      functions_(elements(program.functions, program.function_count)),
      weights_(elements(program.weights, program.weight_count)),
      used_constants_(program.constant_count),
      used_weights_(program.weight_count) {
  for (std::size_t i = 0; i < program.constant_count; ++i) check_constant(program.constants[i], i);
  for (const d2c_weight* weight : weights_) forms_.push_back(form_of(*weight));
  std::unordered_set<std::string_view> names;
  for (const d2c_function* function : functions_) {
    if (!names.insert(function->name).second)
      fail(Code::plugin, std::string("two functions are called '") + function->name + "'");
    FunctionCheck(*this, *function, used_constants_, used_weights_).run();
  }
  if (program.default_function == nullptr || !names.contains(program.default_function))
    fail(Code::plugin, "the default function is none of the program's functions");
}

}  // namespace d2c::coreml_writer
