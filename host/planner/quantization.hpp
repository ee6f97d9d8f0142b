// Which quantizer, with which options, stores which weight: the [quantize] section put to work.
#pragma once

#include "host/loader/plugin_registry.hpp"
#include "host/recipe/recipe.hpp"

#include <d2c/plugin.hpp>

#include <memory>
#include <string>
#include <vector>

namespace d2c::host {

/// A quantizer object and what it was made from.
struct QuantizerChoice {
  Handle<d2c_quantizer> quantizer;
  Value options;
};

class Quantization {
 public:
  /// Makes every quantizer the section and its rules name. Bad options are Error(usage) with their origin.
  Quantization(const Recipe& recipe, PluginRegistry& plugins);

  /// The choice for a weight, null for dense. Rules match a role or a glob over tensor names; the last match wins.
  [[nodiscard]] const QuantizerChoice* choose(const std::string& tensor, const std::string& role) const;

  /// How many values of a weight may lie beyond fp16's range.
  [[nodiscard]] std::uint64_t max_overflow() const noexcept { return max_overflow_; }

  /// Error(usage) naming the first rule that has matched nothing since construction.
  void check_every_rule_matched() const;

 private:
  struct Rule {
    QuantizeRule recipe;
    const QuantizerChoice* choice;
    mutable bool matched = false;
  };

  const QuantizerChoice* make(const Recipe& recipe, PluginRegistry& plugins, const std::string& where,
                              const std::string& plugin, const Value& options);

  std::vector<std::unique_ptr<QuantizerChoice>> choices_;
  const QuantizerChoice* default_ = nullptr;
  std::uint64_t max_overflow_ = 0;
  std::vector<Rule> rules_;
};

}  // namespace d2c::host
