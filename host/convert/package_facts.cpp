#include "host/convert/package_facts.hpp"

namespace d2c::host {
namespace {

FunctionFacts facts_of(const GraphFunction& function) {
  FunctionFacts facts;
  facts.name = function.name;
  for (const GraphNode& node : function.nodes) {
    if (node.kind == D2C_NODE_INPUT) facts.inputs.push_back({node.name, node.type});
    if (node.kind == D2C_NODE_STATE) facts.states.push_back({node.name, node.type});
  }
  for (const d2c_value_id id : function.outputs)
    facts.outputs.push_back({function.nodes[id].name, function.nodes[id].type});
  for (const GraphOp& op : function.ops) ++facts.ops[op.type];
  return facts;
}

WeightFacts::Form form_of(d2c_scheme scheme) {
  switch (scheme) {
    case D2C_SCHEME_DENSE: return WeightFacts::Form::dense;
    case D2C_SCHEME_PALETTE: return WeightFacts::Form::palette;
    default: return WeightFacts::Form::blockwise;
  }
}

/// Elements along the first divided axis that share a table; 0 where one table serves all.
std::int64_t group_of(const d2c_layout& layout, const Shape& expanded) {
  for (std::uint32_t p = 0; p < layout.plane_count; ++p) {
    const d2c_plane& plane = layout.planes[p];
    if (plane.role != D2C_PLANE_LUT && plane.role != D2C_PLANE_SCALE) continue;
    const Shape tables = TensorType::from_c(plane.type).shape;
    // A scale per row is the rule; what is told is how a row is divided.
    for (std::size_t axis = plane.role == D2C_PLANE_SCALE ? 1 : 0; axis < expanded.size() && axis < tables.size();
         ++axis)
      if (tables[axis] > 1) return expanded[axis] / tables[axis];
  }
  return 0;
}

}  // namespace

std::vector<Finding> check_guardrails(const Recipe& recipe, const Assembly& assembly) {
  PackageFacts facts;
  facts.compute_units = recipe.target.text_or("compute_units", facts.compute_units);
  facts.weight_bytes = assembly.weight_bytes();
  for (const GraphFunction& function : assembly.program().functions()) facts.functions.push_back(facts_of(function));
  for (const auto& w : assembly.weights())
    facts.weights.push_back({w->name, w->expanded.shape, form_of(w->layout.scheme), w->layout.bits,
                             group_of(w->layout, w->expanded.shape), w->bytes()});
  std::vector<std::string> accepted;
  for (const Value& id : recipe.target.at("accept").items()) accepted.push_back(id.as_text());
  return check_guardrails(facts, accepted, recipe.origin_of("target.accept").text + ": target.accept");
}

}  // namespace d2c::host
