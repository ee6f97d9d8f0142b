#include "host/graph/function_builder.hpp"

#include "host/graph/mil_name.hpp"
#include "host/graph/op_registry.hpp"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

namespace d2c::host {
namespace {

constexpr std::int64_t kMaxDimension = std::numeric_limits<std::int32_t>::max();

void check_static_shape(const TensorType& type, const std::string& what) {
  if (type.shape.size() > D2C_MAX_RANK)
    fail(Code::plugin,
         what + ": rank " + std::to_string(type.shape.size()) + " exceeds " + std::to_string(D2C_MAX_RANK));
  for (const std::int64_t d : type.shape)
    if (d < 1 || d > kMaxDimension) fail(Code::plugin, what + ": " + type.text() + " has an impossible dimension");
  const auto count = checked_count(type.shape);
  if (!count || *count > std::numeric_limits<std::int64_t>::max() / 8)
    fail(Code::plugin, what + ": " + type.text() + " is too large");
}

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

Constant copy_of(const d2c_tensor& tensor) {
  Constant c{TensorType::from_c(tensor.type), {}};
  const auto* bytes = static_cast<const std::byte*>(tensor.data);
  if (tensor.size > 0 && bytes == nullptr) fail(Code::plugin, "a constant has no data");
  c.data.assign(bytes, bytes + tensor.size);
  return c;
}

void check_constant(const Constant& c, const std::string& what) {
  if (c.type.dtype == DType::string) {
    if (!c.type.shape.empty() || c.data.empty() || c.data.back() != std::byte{0})
      fail(Code::plugin, what + ": a string constant is one NUL-terminated scalar");
    return;
  }
  if (bits_of(c.type.dtype) == 0) fail(Code::plugin, what + ": unknown element type");
  check_static_shape(c.type, what);
  if (static_cast<std::uint64_t>(c.type.bytes()) != c.data.size())
    fail(Code::plugin, what + ": " + c.type.text() + " takes " + std::to_string(c.type.bytes()) + " bytes, " +
                           std::to_string(c.data.size()) + " are given");
}

bool is_feature_dtype(DType t) { return t == DType::f16 || t == DType::f32 || t == DType::i32; }

}  // namespace

FunctionBuilder::FunctionBuilder(Program& program, WeightCatalogue& catalogue, std::string function, FailFunction fail)
    : program_(program), catalogue_(catalogue), fail_(std::move(fail)) {
  if (!is_mil_name(function))
    d2c::fail(Code::usage, "function name " + quoted(function) + " is not a legal identifier");
  function_.name = std::move(function);
  fill_c_table();
}

// ---------------------------------------------------------------- the C table

template <class Body>
d2c_code FunctionBuilder::guarded(Body&& body) noexcept {
  try {
    if (deferred_) throw Error(*deferred_);
    body();
    return D2C_OK;
  } catch (const Error& e) {
    return fail_(static_cast<d2c_code>(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    return fail_(D2C_RESOURCE, "out of memory");
  } catch (const std::exception& e) {
    return fail_(D2C_PLUGIN, e.what());
  } catch (...) {
    return fail_(D2C_PLUGIN, "unknown exception");
  }
}

template <class Body>
std::int32_t FunctionBuilder::guarded_answer(Body&& body) noexcept {
  try {
    return body();
  } catch (const Error& e) {
    deferred_ = e;
  } catch (const std::exception& e) {
    deferred_ = Error(Code::plugin, e.what());
  } catch (...) {
    deferred_ = Error(Code::plugin, "unknown exception");
  }
  return 0;
}

void FunctionBuilder::fill_c_table() {
  static constexpr auto of = [](void* self) -> FunctionBuilder& { return *static_cast<FunctionBuilder*>(self); };
  c_.struct_size = sizeof c_;
  c_.self = this;
  c_.input = [](void* self, const char* name, const d2c_type* type, d2c_value_id* out) {
    return of(self).guarded([&] { *out = of(self).input(name, TensorType::from_c(*type)); });
  };
  c_.state = [](void* self, const char* name, const d2c_type* type, d2c_value_id* out) {
    return of(self).guarded([&] { *out = of(self).state(name, TensorType::from_c(*type)); });
  };
  c_.constant = [](void* self, const char* name, const d2c_tensor* value, d2c_value_id* out) {
    return of(self).guarded([&] { *out = of(self).constant(name, copy_of(*value)); });
  };
  c_.weight = [](void* self, const d2c_weight_ref* r, d2c_value_id* out) {
    return of(self).guarded([&] {
      *out = of(self).weight({r->source, r->tensor, r->stack, r->part, r->role, TensorType::from_c(r->type).shape});
    });
  };
  c_.op = [](void* self, const char* type, const char* name, const d2c_argument* arguments, std::size_t argument_count,
             d2c_value_id* results, std::size_t result_count) {
    return of(self).guarded([&] {
      std::ranges::copy(of(self).op(type, name, {arguments, argument_count}, result_count), results);
    });
  };
  c_.output = [](void* self, d2c_value_id value, const char* name) {
    return of(self).guarded([&] { of(self).output(value, name); });
  };
  c_.type_of = [](void* self, d2c_value_id value, d2c_type* out) {
    return of(self).guarded([&] { *out = of(self).type_of(value).c(); });
  };
  c_.has_tensor = [](void* self, std::uint32_t source, const char* tensor) {
    return of(self).guarded_answer([&] { return of(self).catalogue_.has_tensor(source, tensor) ? 1 : 0; });
  };
  c_.adapter_rank = [](void* self, const char* stack, const char* tensor) {
    return of(self).guarded_answer([&] { return of(self).catalogue_.adapter_rank(stack, tensor); });
  };
  c_.metadata = [](void* self, const char* key, const char* json) {
    return of(self).guarded([&] { of(self).program_.set_metadata(key, json); });
  };
}

// ---------------------------------------------------------------- building

d2c_value_id FunctionBuilder::input(std::string_view name, const TensorType& type) {
  if (!is_feature_dtype(type.dtype))
    fail(Code::plugin,
         function_.name + ": input " + quoted(name) + " is " + type.text() + "; inputs are fp16, fp32 or int32");
  return feature(name, D2C_NODE_INPUT, type);
}

d2c_value_id FunctionBuilder::state(std::string_view name, const TensorType& type) {
  if (type.dtype != DType::f16)
    fail(Code::plugin, function_.name + ": state " + quoted(name) + " is " + type.text() + "; states are fp16");
  return feature(name, D2C_NODE_STATE, type);
}

d2c_value_id FunctionBuilder::feature(std::string_view name, d2c_node_kind kind, const TensorType& type) {
  check_feature_name(name);
  if (names_.contains(std::string(name)))
    fail(Code::plugin,
         function_.name + ": the name " + quoted(name) + " is taken; add inputs and states before anything else");
  return add_node(name, kind, 0, type);
}

d2c_value_id FunctionBuilder::constant(std::string_view name, Constant value) {
  check_constant(value, function_.name + ": constant " + quoted(name));
  const TensorType type = value.type;
  const std::uint32_t index = program_.add_constant(std::move(value));
  if (const auto it = constant_nodes_.find(index); it != constant_nodes_.end()) return it->second;
  return constant_nodes_[index] = add_node(name, D2C_NODE_CONSTANT, index, type);
}

d2c_value_id FunctionBuilder::weight(const WeightRef& ref) {
  const WeightCatalogue::Entry entry = catalogue_.resolve(ref);
  if (const auto it = weight_nodes_.find(entry.index); it != weight_nodes_.end()) return it->second;
  return weight_nodes_[entry.index] = add_node(entry.name, D2C_NODE_WEIGHT, entry.index, entry.type);
}

std::vector<d2c_value_id> FunctionBuilder::op(std::string_view type, std::string_view name,
                                              std::span<const d2c_argument> arguments, std::size_t result_count) {
  const std::string where = function_.name + ": op " + std::string(type) + " " + quoted(name);
  const OpSpec* spec = find_op(type);
  if (spec == nullptr) fail(Code::plugin, where + ": no such op can be in a graph");

  GraphOp op{std::string(type), {}, {}, {}};
  std::vector<BoundArgument> bound;
  for (const d2c_argument& a : arguments) {
    BoundArgument& b = bound.emplace_back(BoundArgument{a.name, {}});
    op.arguments.push_back({a.name, {a.values, a.values + a.count}});
    for (const d2c_value_id id : op.arguments.back().values) {
      const GraphNode& n = node(id);
      b.operands.push_back({n.type, n.kind, n.kind == D2C_NODE_CONSTANT ? &program_.constants()[n.index] : nullptr});
    }
  }
  const OpCall call(*spec, where, std::move(bound));
  std::vector<TensorType> results = spec->infer(call);
  if (results.size() != result_count)
    call.fail("has " + std::to_string(results.size()) + " results, " + std::to_string(result_count) + " are asked for");
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::string hint = results.size() == 1 ? std::string(name) : std::string(name) + "_" + std::to_string(i);
    op.results.push_back(add_node(hint, D2C_NODE_RESULT, 0, std::move(results[i])));
  }
  if (results.size() != 1) op.name = claim_name(name);
  function_.ops.push_back(std::move(op));
  return function_.ops.back().results;
}

void FunctionBuilder::output(d2c_value_id value, std::string_view name) {
  check_feature_name(name);
  if (!is_feature_dtype(type_of(value).dtype))
    fail(Code::plugin, function_.name + ": output " + quoted(name) + " is " + type_of(value).text() +
                           "; outputs are fp16, fp32 or int32");
  // Only results can be outputs, and each once; anything else passes through an identity.
  if (node(value).kind != D2C_NODE_RESULT || is_output(value)) {
    const d2c_argument x{"x", &value, 1};
    value = op("identity", name, {&x, 1}, 1).front();
  }
  rename(value, std::string(name));
  function_.outputs.push_back(value);
}

void FunctionBuilder::finish() {
  if (deferred_) throw Error(*deferred_);
  if (function_.outputs.empty()) fail(Code::plugin, function_.name + ": the function has no outputs");
  for (GraphOp& op : function_.ops)
    if (op.results.size() == 1) op.name = function_.nodes[op.results[0]].name;
  program_.add_function(std::exchange(function_, {}));
  names_.clear();
  next_suffix_.clear();
  constant_nodes_.clear();
  weight_nodes_.clear();
}

// ---------------------------------------------------------------- nodes and names

const GraphNode& FunctionBuilder::node(d2c_value_id id) const {
  if (id >= function_.nodes.size()) fail(Code::plugin, function_.name + ": no value has the id " + std::to_string(id));
  return function_.nodes[id];
}

d2c_value_id FunctionBuilder::add_node(std::string_view hint, d2c_node_kind kind, std::uint32_t index,
                                       TensorType type) {
  check_static_shape(type, function_.name + ": " + quoted(hint));
  const auto id = static_cast<d2c_value_id>(function_.nodes.size());
  function_.nodes.push_back({claim_name(hint), kind, index, std::move(type)});
  return id;
}

void FunctionBuilder::check_feature_name(std::string_view name) const {
  if (!is_mil_name(name))
    fail(Code::plugin, function_.name + ": " + quoted(name) + " cannot be the name of an input, state or output");
}

std::string FunctionBuilder::claim_name(std::string_view hint) {
  const std::string base = legal_mil_name(hint);
  std::string name = base;
  while (!names_.insert(name).second) name = base + "_" + std::to_string(++next_suffix_[base]);
  return name;
}

void FunctionBuilder::rename(d2c_value_id value, const std::string& name) {
  if (function_.nodes[value].name == name) return;
  const auto holder = std::ranges::find(function_.nodes, name, &GraphNode::name);
  if (holder != function_.nodes.end()) {
    const bool is_feature = holder->kind == D2C_NODE_INPUT || holder->kind == D2C_NODE_STATE;
    if (is_feature || is_output(static_cast<d2c_value_id>(holder - function_.nodes.begin())))
      fail(Code::plugin, function_.name + ": " + quoted(name) + " names two inputs, states or outputs");
    holder->name = claim_name(name);
  }
  names_.insert(name);
  function_.nodes[value].name = name;
}

bool FunctionBuilder::is_output(d2c_value_id value) const {
  return std::ranges::find(function_.outputs, value) != function_.outputs.end();
}

}  // namespace d2c::host
