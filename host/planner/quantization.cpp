#include "host/planner/quantization.hpp"

#include <fnmatch.h>

namespace d2c::host {

Quantization::Quantization(const Recipe& recipe, PluginRegistry& plugins) {
  const QuantizeSection& section = recipe.quantize;
  max_overflow_ = section.max_overflow;
  default_ = make(recipe, plugins, "quantize", section.plugin, section.options);
  for (std::size_t i = 0; i < section.rules.size(); ++i) {
    const QuantizeRule& rule = section.rules[i];
    Value options = rule.plugin.empty() || rule.plugin == section.plugin ? section.options : Value::table();
    for (const auto& [key, value] : rule.options.members()) options.set(key, value);
    rules_.push_back({rule, make(recipe, plugins, "quantize.rule[" + std::to_string(i) + "]",
                                 rule.plugin.empty() ? section.plugin : rule.plugin, options)});
  }
}

const QuantizerChoice* Quantization::make(const Recipe& recipe, PluginRegistry& plugins, const std::string& where,
                                          const std::string& plugin_name, const Value& options) {
  if (plugin_name == "none") return nullptr;
  const auto plugin = plugins.find(plugin_name);
  const Value checked = check_options(recipe, where, options, plugin->options(D2C_QUANTIZER));
  for (const auto& choice : choices_)
    if (&choice->quantizer.plugin() == plugin.get() && choice->options == checked) return choice.get();
  choices_.push_back(
      std::make_unique<QuantizerChoice>(QuantizerChoice{plugins.create<d2c_quantizer>(plugin, checked), checked}));
  return choices_.back().get();
}

const QuantizerChoice* Quantization::choose(const std::string& tensor, const std::string& role) const {
  const QuantizerChoice* choice = default_;
  for (const Rule& rule : rules_) {
    if (rule.recipe.match != role && fnmatch(rule.recipe.match.c_str(), tensor.c_str(), 0) != 0) continue;
    rule.matched = true;
    choice = rule.choice;
  }
  return choice;
}

void Quantization::check_every_rule_matched() const {
  for (const Rule& rule : rules_)
    if (!rule.matched)
      fail_usage(rule.recipe.origin.text + ": the rule match = \"" + rule.recipe.match +
                 "\" matches no quantized weight of this model; match a role (attention, mlp, embedding, lm_head) or a "
                 "glob over tensor names (see 'dolphin2coreml plan --json' for them), or remove the rule");
}

}  // namespace d2c::host
