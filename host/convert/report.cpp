#include "host/convert/report.hpp"

#include "host/convert/stack_report.hpp"
#include "libs/json/json.hpp"

#include <map>

namespace d2c::host {
namespace {

Value feature(const GraphNode& node) {
  Value v = Value::table();
  v.set("name", node.name);
  v.set("type", node.type.text());
  return v;
}

Value describe_function(const GraphFunction& function) {
  Value inputs = Value::list(), states = Value::list(), outputs = Value::list();
  for (const GraphNode& node : function.nodes) {
    if (node.kind == D2C_NODE_INPUT) inputs.push_back(feature(node));
    if (node.kind == D2C_NODE_STATE) states.push_back(feature(node));
  }
  for (const d2c_value_id id : function.outputs) outputs.push_back(feature(function.nodes[id]));
  Value v = Value::table();
  v.set("name", function.name);
  v.set("inputs", std::move(inputs));
  v.set("states", std::move(states));
  v.set("outputs", std::move(outputs));
  v.set("ops", function.ops.size());
  return v;
}

Value describe_weight(const PlannedWeight& w) {
  Value v = Value::table();
  v.set("key", w.key);
  v.set("name", w.name);
  v.set("tensor", w.tensor);
  v.set("role", w.role);
  v.set("shape", Value::List(w.shape.begin(), w.shape.end()));
  v.set("padded_rows", w.layout.padded_rows - w.rows());
  v.set("scheme", w.layout.label);
  v.set("bits", w.layout.bits);
  v.set("bytes", w.bytes());
  return v;
}

struct RoleTotals {
  std::int64_t tensors = 0, elements = 0;
  std::uint64_t bytes = 0;
};

double bits_per_weight(std::uint64_t bytes, std::int64_t elements) {
  return elements == 0 ? 0 : static_cast<double>(bytes) * 8 / static_cast<double>(elements);
}

/// One line per role and scheme.
Value describe_roles(const Assembly& assembly) {
  std::map<std::pair<std::string, std::string>, RoleTotals> totals;
  for (const auto& w : assembly.weights()) {
    RoleTotals& t = totals[{w->role, w->layout.label}];
    ++t.tensors;
    t.elements += count_of(w->shape);
    t.bytes += w->bytes();
  }
  Value roles = Value::list();
  for (const auto& [key, t] : totals) {
    Value v = Value::table();
    v.set("role", key.first);
    v.set("scheme", key.second);
    v.set("tensors", t.tensors);
    v.set("elements", t.elements);
    v.set("bytes", t.bytes);
    v.set("bits_per_weight", bits_per_weight(t.bytes, t.elements));
    roles.push_back(std::move(v));
  }
  return roles;
}

Value adapter_summaries(const Assembly& assembly) {
  Value summaries = Value::list();
  for (const AdapterStack* stack : assembly.inputs().stacks())
    summaries.push_back(stack->name() + ": " + stack->summary());
  return summaries;
}

/// How many distinct values the groups of a kind of weights hold.
struct DistinctValues {
  std::int64_t values = 0, groups = 0;
};

Value to_value(const std::map<std::string, DistinctValues>& distinct) {
  Value v = Value::table();
  for (const auto& [kind, d] : distinct) {
    if (d.values == 0) continue;
    Value figures = Value::table();
    figures.set("groups", d.groups);
    figures.set("mean", static_cast<double>(d.values) / static_cast<double>(d.groups));
    v.set(kind, std::move(figures));
  }
  return v;
}

Value rounding_value(const numeric::RoundingStats& r) {
  Value v = Value::table();
  v.set("overflowed", r.overflowed);
  v.set("underflowed", r.underflowed);
  v.set("subnormal", r.subnormal);
  return v;
}

}  // namespace

Value describe(const Recipe& recipe, const Assembly& assembly) {
  Value functions = Value::list(), weights = Value::list();
  for (const GraphFunction& f : assembly.program().functions()) functions.push_back(describe_function(f));
  std::int64_t elements = 0;
  std::uint64_t bytes = 0;
  for (const auto& w : assembly.weights()) {
    weights.push_back(describe_weight(*w));
    elements += count_of(w->shape);
    bytes += w->bytes();
  }
  Value report = Value::table();
  report.set("recipe", recipe.name);
  report.set("model", recipe.model.source);
  report.set("source_plugin", assembly.inputs().model->plugin().name());
  report.set("functions", std::move(functions));
  report.set("roles", describe_roles(assembly));
  report.set("weight_bytes", assembly.weight_bytes());
  report.set("elements", elements);
  report.set("bits_per_weight", bits_per_weight(bytes, elements));
  report.set("encoder_weights", name_of(assembly.inputs().encoder_weights));
  report.set("encoder_policies", describe_encoder_policies(recipe, assembly));
  report.set("variants", describe_variants(recipe, assembly));
  report.set("adapters", adapter_summaries(assembly));
  report.set("notes", Value::List(assembly.notes().begin(), assembly.notes().end()));
  report.set("weights", std::move(weights));
  return report;
}

void add_results(Value& report, const Assembly& assembly, std::span<const WeightResult> results) {
  auto& weights = report.find("weights")->items();
  numeric::RoundingStats rounding;
  double error = 0, sum = 0;
  double excess = 0;
  std::int64_t groups = 0, certified = 0;
  std::map<std::string, DistinctValues> distinct;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const WeightResult& r = results[i];
    rounding += r.rounding;
    if (r.rounding.overflowed != 0) weights[i].set("overflowed", r.rounding.overflowed);
    if (r.rounding.underflowed != 0) weights[i].set("underflowed", r.rounding.underflowed);
    if (assembly.weights()[i]->dense()) continue;
    weights[i].set("squared_error", r.stats.squared_error);
    weights[i].set("relative_error", r.stats.squared_sum > 0 ? r.stats.squared_error / r.stats.squared_sum : 0.0);
    weights[i].set("max_error", r.stats.max_error);
    weights[i].set("groups", r.stats.groups);
    weights[i].set("groups_certified", r.stats.groups_certified);
    weights[i].set("distinct_values", r.stats.distinct_values);
    DistinctValues& kind = distinct[assembly.weights()[i]->merged == nullptr ? "plain" : "merged"];
    kind.values += r.stats.distinct_values;
    kind.groups += r.stats.groups;
    excess += r.stats.excess_bound;
    error += r.stats.squared_error;
    sum += r.stats.squared_sum;
    groups += r.stats.groups;
    certified += r.stats.groups_certified;
  }
  Value quantization = Value::table();
  quantization.set("squared_error", error);
  quantization.set("relative_error", sum > 0 ? error / sum : 0.0);
  quantization.set("groups", groups);
  quantization.set("groups_certified", certified);
  quantization.set("excess_bound", excess);
  quantization.set("distinct_values", to_value(distinct));
  report.set("quantization", std::move(quantization));
  report.set("rounding", rounding_value(rounding));
  if (rounding.overflowed != 0)
    report.find("notes")->push_back(std::to_string(rounding.overflowed) +
                                    " values beyond fp16's range became +-65504, as quantize.max_overflow allows");
}

std::map<std::string, std::string> package_metadata(const Program& program, const Value& description) {
  std::map<std::string, std::string> metadata = program.metadata();
  const auto set = [&](const char* key, Value value) {
    Value versioned = Value::table();
    versioned.set("version", 1);
    for (auto& [name, member] : value.members()) versioned.set(name, std::move(member));
    metadata[key] = json::dump(versioned);
  };
  Value tool = Value::table();
  tool.set("name", "dolphin2coreml");
  tool.set("release", D2C_SDK_VERSION);
  tool.set("recipe", description.at("recipe"));
  set("d2c.tool", std::move(tool));
  Value quantization = Value::table();
  quantization.set("roles", description.at("roles"));
  set("d2c.quantization", std::move(quantization));
  Value adapters = Value::table();
  adapters.set("stacks", description.at("adapters"));
  adapters.set("encoder_weights", description.at("encoder_weights"));
  adapters.set("variants", description.at("variants"));
  set("d2c.adapters", std::move(adapters));
  return metadata;
}

}  // namespace d2c::host
