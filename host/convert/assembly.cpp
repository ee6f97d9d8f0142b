#include "host/convert/assembly.hpp"

#include "host/graph/function_builder.hpp"

#include <algorithm>
#include <set>

namespace d2c::host {
namespace {

constexpr std::int64_t kDefaultContext = 2048;

std::map<std::string, const AdapterStack*> stacks_of(const ModelInputs& inputs) {
  std::map<std::string, const AdapterStack*> stacks;
  for (const AdapterStack* stack : inputs.stacks()) stacks.emplace(stack->name(), stack);
  return stacks;
}

std::vector<WeightTable::NamedSource> sources_of(const ModelInputs& inputs) {
  std::vector<WeightTable::NamedSource> sources{{"model", inputs.model.get()}};
  if (inputs.encoder_model) sources.push_back({"encoder", inputs.encoder_model.get()});
  return sources;
}

/// Which weights a function reads, in the words of an emit request.
struct WeightChoice {
  std::uint32_t source = 0;
  std::string stack = "chat";
  std::vector<Delta> deltas;
};

WeightChoice choose_weights(const std::string& stack, WeightPolicy policy, const ModelInputs& inputs) {
  WeightChoice choice;
  switch (policy) {
    case WeightPolicy::shared: break;
    case WeightPolicy::shared_with_adapter:
      // A stack's adapters belong on the base: base + stack = chat weights + stack - chat.
      choice.deltas.push_back({stack, 1});
      choice.deltas.push_back({"chat", -1});
      break;
    case WeightPolicy::separate:
      choice.source = stack == "encoder" && inputs.encoder_model ? 1 : 0;
      choice.stack = stack;
      break;
  }
  return choice;
}

WeightPolicy policy_of(const std::string& stack, const ModelInputs& inputs) {
  if (stack == "encoder") return inputs.encoder_weights;
  for (const Variant& variant : inputs.variants)
    if (variant.name == stack) return variant.weights;
  return WeightPolicy::shared;
}

/// The model's config as its adapters leave it.
Value config_of(const Source& source, const std::string& stack_name, const ModelInputs& inputs) {
  Value config = source.config();
  for (const AdapterStack* stack : inputs.stacks())
    if (stack->name() == stack_name && stack->grown_vocabulary()) config.set("vocab_size", *stack->grown_vocabulary());
  return config;
}

}  // namespace

Assembly::Assembly(const Recipe& recipe, PluginRegistry& plugins) : inputs_(open_inputs(recipe, plugins)) {
  resolve_settings(recipe);
  quantization_ = std::make_unique<Quantization>(recipe, plugins);
  table_ = make_table();
  use(inputs_.model->plugin());
  for (const AdapterStack* stack : inputs_.stacks()) use(stack->merger().plugin());
  Program program;
  for (const FunctionSection& section : recipe.functions) emit(recipe, plugins, section, program);
  quantization_->check_every_rule_matched();
  lay_out(recipe, plugins, std::move(program));
  collect_notes();
}

std::unique_ptr<WeightTable> Assembly::make_table() const {
  return std::make_unique<WeightTable>(sources_of(inputs_), stacks_of(inputs_), *quantization_,
                                       precision_ == "fp32" ? DType::f32 : DType::f16, inputs_.tied);
}

std::uint64_t Assembly::encoder_bytes(WeightPolicy policy) const {
  std::set<std::uint32_t> others, own;
  for (std::size_t i = 0; i < function_stacks_.size(); ++i)
    for (const GraphNode& node : program().functions()[i].nodes)
      if (node.kind == D2C_NODE_WEIGHT) (function_stacks_[i] == "encoder" ? own : others).insert(node.index);

  const auto table = make_table();
  const WeightChoice choice = choose_weights("encoder", policy, inputs_);
  for (const std::uint32_t index : own) {
    const PlannedWeight& w = *weights()[index];
    if (w.part != D2C_PART_FULL) continue;
    (void)table->resolve({choice.source, w.tensor, choice.stack, D2C_PART_FULL, w.role, {}});
    for (const Delta& delta : choice.deltas)
      if (table->adapter_rank(delta.stack, w.tensor) > 0)
        for (const d2c_weight_part part : {D2C_PART_LORA_A, D2C_PART_LORA_B})
          (void)table->resolve({choice.source, w.tensor, delta.stack, part, "lora", {}});
  }
  std::set<std::string> present;
  for (const std::uint32_t index : others) present.insert(weights()[index]->key);
  std::uint64_t bytes = 0;
  for (const auto& w : table->weights())
    if (!present.contains(w->key)) bytes += w->bytes();
  return bytes;
}

void Assembly::resolve_settings(const Recipe& recipe) {
  Value graph = recipe.graph;
  precision_ = graph.text_or("precision", "fp16");
  if (graph.find("context") == nullptr)
    graph.set("context",
              std::min(kDefaultContext, inputs_.model->config().int_or("max_position_embeddings", kDefaultContext)));
  settings_.set("graph", std::move(graph));
  settings_.set("encoder", recipe.encoder);
}

void Assembly::emit(const Recipe& recipe, PluginRegistry& plugins, const FunctionSection& section, Program& program) {
  const auto plugin = plugins.find(section.plugin);
  const Value options = check_options(recipe, section.where, section.options, plugin->options(D2C_FUNCTION_EMITTER));
  const auto emitter = plugins.create<d2c_function_emitter>(plugin, options);
  use(*plugin);

  const WeightChoice choice = choose_weights(section.stack, policy_of(section.stack, inputs_), inputs_);
  std::vector<d2c_delta> deltas;
  for (const Delta& delta : choice.deltas) deltas.push_back({delta.stack.c_str(), delta.sign});
  const Source& source = choice.source == 0 ? *inputs_.model : *inputs_.encoder_model;
  const ValueExport config(config_of(source, choice.stack, inputs_)), settings(settings_);
  const d2c_emit_request request{
      sizeof request,       section.name.c_str(), choice.source, static_cast<std::uint32_t>(deltas.size()),
      choice.stack.c_str(), deltas.data(),        config.c(),    settings.c()};
  const d2c_host& services = plugin->host();
  FunctionBuilder builder(program, *table_, section.name, [&](d2c_code code, const char* message) {
    return services.fail(services.self, code, message);
  });
  emitter.check(emitter->emit(emitter->self, &request, &builder.c()));
  builder.finish();
  function_stacks_.push_back(section.stack);
}

void Assembly::lay_out(const Recipe& recipe, PluginRegistry& plugins, Program program) {
  std::vector<d2c_weight> weights;
  for (const auto& w : table_->weights()) {
    weights.push_back({sizeof(d2c_weight), w->name.c_str(), w->key.c_str(), w->expanded.c(), &w->layout});
    if (!w->dense()) use(w->quantizer->quantizer.plugin());
  }
  view_ = std::make_unique<ProgramView>(std::move(program), weights, recipe.functions.front().name,
                                        recipe.target.text_or("deployment", "iOS18"));
  const auto plugin = plugins.find(recipe.output.writer);
  use(*plugin);
  const Value options = check_options(recipe, "output", recipe.output.options, plugin->options(D2C_PACKAGE_WRITER));
  writer_ = std::make_unique<Handle<d2c_package_writer>>(plugins.create<d2c_package_writer>(plugin, options));
  writer_->check((*writer_)->plan((*writer_)->self, &view_->c(), &weight_bytes_));
}

void Assembly::collect_notes() {
  for (const auto& w : weights())
    if (w->layout.padded_rows > w->rows())
      notes_.push_back(w->tensor + ": " + std::to_string(w->rows()) + " rows padded to " +
                       std::to_string(w->layout.padded_rows) + " for " + w->layout.label +
                       "; the extra rows are sliced off in the graph");
  for (const Source* source : {inputs_.model.get(), inputs_.encoder_model.get()}) {
    if (source == nullptr) continue;
    const auto unread = table_->unread_tensors(*source);
    if (!unread.empty())
      notes_.push_back("no function reads " + std::to_string(unread.size()) + " of the model's " +
                       std::to_string(source->tensors().size()) + " tensors, " + unread.front() + " the first");
  }
  for (const AdapterStack* stack : inputs_.stacks()) {
    const auto unused = table_->unused_targets(*stack);
    if (!unused.empty())
      notes_.push_back("stack " + stack->name() + ": no function reads " + std::to_string(unused.size()) +
                       " of the tensors its adapters change, " + unused.front() + " the first");
  }
}

void Assembly::use(const Plugin& plugin) {
  if (std::find(used_plugins_.begin(), used_plugins_.end(), &plugin) == used_plugins_.end())
    used_plugins_.push_back(&plugin);
}

}  // namespace d2c::host
