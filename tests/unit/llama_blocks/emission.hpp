// Runs an emitter against the host's graph builder, without any weights.
#pragma once

#include "host/graph/function_builder.hpp"
#include "libs/json/json.hpp"

#include <d2c/plugin.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace d2c::llama::test {

/// Answers for any tensor: the shape asked for, its rows padded to a multiple of `pad` where it has two axes.
class FakeWeights final : public host::WeightCatalogue {
 public:
  std::int64_t pad = 1;
  DType dtype = DType::f16;
  std::map<std::pair<std::string, std::string>, int> ranks;  ///< (stack, tensor) to the rank of its change
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> adapted_shapes;  ///< tensor to [out, in]
  std::vector<WeightRef> refs;

  Entry resolve(const WeightRef& ref) override {
    const auto same = [&](const WeightRef& r) {
      return r.tensor == ref.tensor && r.stack == ref.stack && r.part == ref.part && r.source == ref.source;
    };
    auto it = std::find_if(refs.begin(), refs.end(), same);
    if (it == refs.end()) it = refs.insert(refs.end(), ref);
    const auto index = static_cast<std::uint32_t>(it - refs.begin());
    return {index, {dtype, shape_of(ref)}, "w_" + ref.tensor + std::to_string(ref.part)};
  }
  bool has_tensor(std::uint32_t, const std::string&) const override { return true; }
  int adapter_rank(const std::string& stack, const std::string& tensor) const override {
    const auto it = ranks.find({stack, tensor});
    return it == ranks.end() ? 0 : it->second;
  }

 private:
  Shape shape_of(const WeightRef& ref) const {
    if (ref.part == D2C_PART_FULL) {
      Shape shape = ref.shape;
      if (shape.size() == 2) shape[0] = (shape[0] + pad - 1) / pad * pad;
      return shape;
    }
    const auto [out, in] = adapted_shapes.at(ref.tensor);
    const int rank = adapter_rank(ref.stack, ref.tensor);
    return ref.part == D2C_PART_LORA_A ? Shape{rank, in} : Shape{out, rank};
  }
};

inline Value settings(const std::string& graph, const std::string& encoder = "{}") {
  Value v = Value::table();
  v.set("graph", json::parse(graph, "graph"));
  v.set("encoder", json::parse(encoder, "encoder"));
  return v;
}

inline Value config(const std::string& name) {
  return json::parse_file("tests/data/llama_blocks/configs/" + name + ".json");
}

/// Emits one function into `program`; what the host refuses comes back as the Error it was.
inline const host::GraphFunction& emit(FunctionEmitter& emitter, const EmitRequest& request, FakeWeights& weights,
                                       host::Program& program) {
  std::string message;
  host::FunctionBuilder builder(program, weights, request.function, [&](d2c_code code, const char* text) {
    message = text;
    return code;
  });
  try {
    Graph graph(builder.c());
    emitter.emit(request, graph);
  } catch (const HostFailure& failure) {
    throw Error(static_cast<Code>(failure.code), message);
  }
  builder.finish();
  return program.functions().back();
}

/// "input_ids int32[1,8]" for every node of a kind, in order.
inline std::vector<std::string> features(const host::GraphFunction& function, d2c_node_kind kind) {
  std::vector<std::string> out;
  for (const host::GraphNode& n : function.nodes)
    if (n.kind == kind) out.push_back(n.name + " " + n.type.text());
  return out;
}

inline std::vector<std::string> outputs(const host::GraphFunction& function) {
  std::vector<std::string> out;
  for (const d2c_value_id id : function.outputs)
    out.push_back(function.nodes[id].name + " " + function.nodes[id].type.text());
  return out;
}

inline std::map<std::string, int> op_counts(const host::GraphFunction& function) {
  std::map<std::string, int> counts;
  for (const host::GraphOp& op : function.ops) ++counts[op.type];
  return counts;
}

}  // namespace d2c::llama::test
