#include "plugins/lora_unsloth/base_index.hpp"

#include <algorithm>
#include <set>

namespace d2c::lora {
namespace {

/// The number in "model.layers.12.mlp.up_proj", or an empty text.
std::string_view layer_of(std::string_view module) {
  constexpr std::string_view kLayers = "layers.";
  const std::size_t at = module.find(kLayers);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = module.substr(at + kLayers.size());
  return rest.substr(0, rest.find('.'));
}

std::string join(const std::set<std::string_view>& names) {
  std::string text;
  for (const std::string_view n : names) text += (text.empty() ? "" : ", ") + std::string(n);
  return text;
}

}  // namespace

BaseIndex::BaseIndex(const BaseModel& base) : tied_(base.tied) {
  for (const TensorInfo& t : base.tensors) {
    if (!shapes_.emplace(t.name, t.type.shape).second) continue;
    tensors_.push_back(t.name);
    if (t.type.shape.size() == 2 && t.name.ends_with(kWeight))
      matrix_modules_.push_back(t.name.substr(0, t.name.size() - kWeight.size()));
  }
}

const Shape* BaseIndex::find(const std::string& tensor) const {
  const auto it = shapes_.find(tensor);
  return it == shapes_.end() ? nullptr : &it->second;
}

std::string BaseIndex::description() const {
  std::set<std::string_view> layers, inner, outer;
  for (const std::string& module : matrix_modules_) {
    const std::string_view layer = layer_of(module);
    if (!layer.empty()) layers.insert(layer);
    (layer.empty() ? outer : inner).insert(last_component(module));
  }
  return std::to_string(layers.size()) + " layers with " + join(inner) + (outer.empty() ? "" : ", and " + join(outer));
}

std::string_view last_component(std::string_view path) { return path.substr(path.rfind('.') + 1); }
std::string module_of(const std::string& tensor) { return tensor.substr(0, tensor.rfind('.')); }
bool is_embedding(std::string_view module) { return last_component(module) == "embed_tokens"; }
bool is_output_head(std::string_view module) { return last_component(module) == "lm_head"; }

std::string enumerate(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

}  // namespace d2c::lora
