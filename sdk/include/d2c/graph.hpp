// What a function emitter builds MIL graphs with: nodes, constants and ops over the host's d2c_graph_builder.
#pragma once

#include <d2c/abi.h>
#include <d2c/error.hpp>
#include <d2c/half.hpp>
#include <d2c/tensor.hpp>

#include <concepts>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace d2c {

/// Thrown when a host function has failed and already recorded its message.
struct HostFailure {
  d2c_code code;
};

inline void check_host(d2c_code code) {
  if (code != D2C_OK) throw HostFailure{code};
}

/// A value of the function being built. Cheap to copy, meaningless outside its graph.
struct Node {
  d2c_value_id id = 0;
};

/// A compile-time value: type and packed bytes.
struct Constant {
  TensorType type;
  std::vector<std::byte> data;

  template <class T>
  static Constant of(DType dtype, Shape shape, std::span<const T> values) {
    Constant c{{dtype, std::move(shape)}, std::vector<std::byte>(values.size_bytes())};
    std::memcpy(c.data.data(), values.data(), values.size_bytes());
    return c;
  }
  static Constant i32(std::int32_t v) { return of<std::int32_t>(DType::i32, {}, {&v, 1}); }
  static Constant i32s(std::span<const std::int32_t> v) {
    return of(DType::i32, {static_cast<std::int64_t>(v.size())}, v);
  }
  static Constant i32s(std::initializer_list<std::int32_t> v) { return i32s(std::span(v.begin(), v.size())); }
  static Constant boolean(bool v) { return of<bool>(DType::boolean, {}, {&v, 1}); }
  static Constant bools(std::initializer_list<bool> v) {
    return of(DType::boolean, {static_cast<std::int64_t>(v.size())}, std::span(v.begin(), v.size()));
  }
  static Constant text(std::string_view v) {
    Constant c{{DType::string, {}}, std::vector<std::byte>(v.size() + 1)};
    std::memcpy(c.data.data(), v.data(), v.size());
    return c;
  }
  /// fp16 or fp32 values, rounded from fp32.
  static Constant reals(DType dtype, Shape shape, std::span<const float> values) {
    if (dtype == DType::f32) return of(dtype, std::move(shape), values);
    std::vector<std::uint16_t> halves;
    halves.reserve(values.size());
    for (const float v : values) halves.push_back(float_to_half(v));
    return of(DType::f16, std::move(shape), std::span<const std::uint16_t>(halves));
  }
  static Constant real(DType dtype, float v) { return reals(dtype, {}, {&v, 1}); }
};

/// One named input of an op: nodes made earlier, or a constant made on the spot.
///
///     g.op("reduce_mean", "mean", {{"x", x}, {"axes", Constant::i32s({-1})}, {"keep_dims", true}});
class Arg {
 public:
  Arg(const char* name, Node node) : name_(name), nodes_{node} {}
  Arg(const char* name, std::vector<Node> nodes) : name_(name), nodes_(std::move(nodes)) {}
  Arg(const char* name, Constant constant) : name_(name), constant_(std::move(constant)), is_constant_(true) {}
  Arg(const char* name, std::same_as<bool> auto v) : Arg(name, Constant::boolean(v)) {}
  Arg(const char* name, std::same_as<int> auto v) : Arg(name, Constant::i32(v)) {}
  Arg(const char* name, const char* v) : Arg(name, Constant::text(v)) {}

 private:
  friend class Graph;
  const char* name_;
  std::vector<Node> nodes_;
  Constant constant_;
  bool is_constant_ = false;
};

/// A weight by name; see d2c_weight_ref.
struct WeightRef {
  std::uint32_t source = 0;
  std::string tensor;
  std::string stack;
  d2c_weight_part part = D2C_PART_FULL;
  std::string role;
  Shape shape;  ///< expected logical shape; empty for adapter parts
};

/// Not thread-safe; lives during one emit() call. Every member throws where the host refuses.
class Graph {
 public:
  explicit Graph(const d2c_graph_builder& builder) : b_(builder) {}

  Node input(const char* name, const TensorType& type) { return make(b_.input, name, type); }
  Node state(const char* name, const TensorType& type) { return make(b_.state, name, type); }

  Node constant(const std::string& name, const Constant& value) {
    const d2c_tensor t{value.type.c(), value.data.data(), value.data.size()};
    Node n;
    check_host(b_.constant(b_.self, name.c_str(), &t, &n.id));
    return n;
  }

  Node weight(const WeightRef& r) {
    const d2c_weight_ref c{sizeof c,
                           r.source,
                           r.tensor.c_str(),
                           r.stack.c_str(),
                           r.part,
                           r.role.c_str(),
                           TensorType{DType::none, r.shape}.c()};
    Node n;
    check_host(b_.weight(b_.self, &c, &n.id));
    return n;
  }

  /// Adds an op with one result.
  Node op(const char* type, const std::string& name, std::initializer_list<Arg> args) {
    return ops(type, name, args, 1).front();
  }

  /// Adds an op with `results` results (0 for write_state).
  std::vector<Node> ops(const char* type, const std::string& name, std::initializer_list<Arg> args,
                        std::size_t results) {
    std::vector<std::vector<d2c_value_id>> ids;
    ids.reserve(args.size());
    std::vector<d2c_argument> c;
    c.reserve(args.size());
    for (const Arg& a : args) {
      auto& list = ids.emplace_back();
      if (a.is_constant_) list.push_back(constant(name + "_" + a.name_, a.constant_).id);
      for (const Node n : a.nodes_) list.push_back(n.id);
      c.push_back({a.name_, list.data(), list.size()});
    }
    std::vector<d2c_value_id> out(results);
    check_host(b_.op(b_.self, type, name.c_str(), c.data(), c.size(), out.data(), out.size()));
    std::vector<Node> nodes;
    for (const d2c_value_id id : out) nodes.push_back({id});
    return nodes;
  }

  void output(Node node, const char* name) { check_host(b_.output(b_.self, node.id, name)); }

  [[nodiscard]] TensorType type(Node node) const {
    d2c_type t;
    check_host(b_.type_of(b_.self, node.id, &t));
    return TensorType::from_c(t);
  }
  [[nodiscard]] bool has_tensor(std::uint32_t source, const std::string& tensor) const {
    return b_.has_tensor(b_.self, source, tensor.c_str()) != 0;
  }
  [[nodiscard]] int adapter_rank(const std::string& stack, const std::string& tensor) const {
    return b_.adapter_rank(b_.self, stack.c_str(), tensor.c_str());
  }
  void metadata(const char* key, const std::string& json) { check_host(b_.metadata(b_.self, key, json.c_str())); }

 private:
  template <class Function>
  Node make(Function function, const char* name, const TensorType& type) {
    const d2c_type t = type.c();
    Node n;
    check_host(function(b_.self, name, &t, &n.id));
    return n;
  }

  const d2c_graph_builder& b_;
};

}  // namespace d2c
