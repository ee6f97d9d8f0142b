#include "host/graph/op_registry.hpp"

namespace d2c::host {
namespace {

using Types = std::vector<TensorType>;

Types read_state(const OpCall& op) { return {op.type("input")}; }

Types write_state(const OpCall& op) {
  if (op.type("input") != op.type("data"))
    op.fail("state " + op.describe("input") + " cannot hold " + op.describe("data"));
  return {};
}

constexpr OpSpec kOps[] = {
    {"read_state", {{"input", kTensor, kState}}, read_state},
    {"write_state", {{"input", kTensor, kState}, {"data", kTensor}}, write_state},
};

}  // namespace

std::span<const OpSpec> state_ops() { return kOps; }

}  // namespace d2c::host
