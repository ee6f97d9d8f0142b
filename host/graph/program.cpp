#include "host/graph/program.hpp"

#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <functional>
#include <string_view>
#include <utility>

namespace d2c::host {
namespace {

std::size_t hash_of(const Constant& c) {
  const std::string_view bytes(reinterpret_cast<const char*>(c.data.data()), c.data.size());
  return std::hash<std::string_view>{}(bytes);
}

bool equal(const Constant& a, const Constant& b) { return a.type == b.type && a.data == b.data; }

}  // namespace

std::uint32_t Program::add_constant(Constant constant) {
  const std::size_t hash = hash_of(constant);
  const auto [first, last] = constants_by_hash_.equal_range(hash);
  for (auto it = first; it != last; ++it)
    if (equal(constants_[it->second], constant)) return it->second;
  const auto index = static_cast<std::uint32_t>(constants_.size());
  constants_.push_back(std::move(constant));
  constants_by_hash_.emplace(hash, index);
  return index;
}

void Program::add_function(GraphFunction function) {
  for (const GraphFunction& f : functions_)
    if (f.name == function.name) fail(Code::plugin, "function '" + f.name + "' is built twice");
  for (const GraphNode& n : function.nodes) {
    if (n.kind != D2C_NODE_STATE) continue;
    const auto [it, is_new] = states_.emplace(n.name, n.type);
    if (!is_new && it->second != n.type)
      fail(Code::plugin, "state '" + n.name + "' is " + n.type.text() + " in function '" + function.name + "' but " +
                             it->second.text() + " in an earlier one");
  }
  functions_.push_back(std::move(function));
}

void Program::set_metadata(const std::string& key, const std::string& text) {
  if (!key.starts_with("d2c.")) fail(Code::plugin, "metadata key '" + key + "' does not start with 'd2c.'");
  (void)json::parse(text, "metadata '" + key + "'");
  const auto [it, is_new] = metadata_.emplace(key, text);
  if (!is_new && it->second != text)
    fail(Code::plugin, "metadata '" + key + "' is set twice, to " + it->second + " and to " + text);
}

}  // namespace d2c::host
