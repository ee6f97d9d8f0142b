#include "host/graph/program_view.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <utility>

namespace d2c::host {

ProgramView::ProgramView(Program program, std::span<const d2c_weight> weights, std::string default_function,
                         std::string deployment)
    : program_(std::move(program)),
      default_function_(std::move(default_function)),
      deployment_(std::move(deployment)),
      weights_(weights.begin(), weights.end()) {
  const auto& functions = program_.functions();
  if (std::ranges::find(functions, default_function_, &GraphFunction::name) == functions.end())
    fail(Code::plugin, "no function '" + default_function_ + "' that could be the default one");
  for (const Constant& c : program_.constants()) constants_.push_back({c.type.c(), c.data.data(), c.data.size()});
  for (const GraphFunction& f : functions) functions_.push_back(export_function(f));
  c_ = {sizeof(d2c_program), functions_.data(), functions_.size(), default_function_.c_str(), constants_.data(),
        constants_.size(),   weights_.data(),   weights_.size(),   deployment_.c_str()};
}

d2c_function ProgramView::export_function(const GraphFunction& function) {
  auto& nodes = nodes_.emplace_back();
  for (const GraphNode& n : function.nodes) {
    if (n.kind == D2C_NODE_WEIGHT && n.index >= weights_.size())
      fail(Code::plugin,
           "weight " + std::to_string(n.index) + " of '" + function.name + "' is not in the weight table");
    nodes.push_back({n.name.c_str(), n.kind, n.index, n.type.c()});
  }
  auto& ops = ops_.emplace_back();
  for (const GraphOp& op : function.ops) {
    auto& arguments = arguments_.emplace_back();
    for (const GraphArgument& a : op.arguments) arguments.push_back({a.name.c_str(), a.values.data(), a.values.size()});
    ops.push_back(
        {op.type.c_str(), op.name.c_str(), arguments.data(), arguments.size(), op.results.data(), op.results.size()});
  }
  return {sizeof(d2c_function), function.name.c_str(),   nodes.data(),           nodes.size(), ops.data(),
          ops.size(),           function.outputs.data(), function.outputs.size()};
}

}  // namespace d2c::host
