// The functions, constants and metadata that emitters have built: the whole package but its weights' bytes.
#pragma once

#include <d2c/abi.h>
#include <d2c/graph.hpp>
#include <d2c/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace d2c::host {

struct GraphNode {
  std::string name;  ///< unique in its function, a legal MIL identifier
  d2c_node_kind kind = D2C_NODE_RESULT;
  std::uint32_t index = 0;  ///< constants and weights: into the program's tables
  TensorType type;
};

struct GraphArgument {
  std::string name;
  std::vector<d2c_value_id> values;
};

struct GraphOp {
  std::string type;
  std::string name;
  std::vector<GraphArgument> arguments;
  std::vector<d2c_value_id> results;
};

struct GraphFunction {
  std::string name;
  std::vector<GraphNode> nodes;
  std::vector<GraphOp> ops;  ///< topological order
  std::vector<d2c_value_id> outputs;
};

/// Not thread-safe.
class Program {
 public:
  /// Index of the constant with these bytes; equal constants share one entry.
  std::uint32_t add_constant(Constant constant);

  /// Error(plugin) where a function of that name is there already, or where it shares a state's name but not its type
  /// with an earlier one.
  void add_function(GraphFunction function);

  /// `key` must start with "d2c." and `json` must be JSON text; a second, different text for a key is Error(plugin).
  void set_metadata(const std::string& key, const std::string& json);

  [[nodiscard]] const std::vector<GraphFunction>& functions() const noexcept { return functions_; }
  [[nodiscard]] const std::vector<Constant>& constants() const noexcept { return constants_; }
  /// Sorted by key.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

 private:
  std::vector<GraphFunction> functions_;
  std::vector<Constant> constants_;
  std::unordered_multimap<std::size_t, std::uint32_t> constants_by_hash_;
  std::map<std::string, TensorType> states_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace d2c::host
