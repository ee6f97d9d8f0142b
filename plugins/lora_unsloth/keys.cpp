#include "plugins/lora_unsloth/keys.hpp"

namespace d2c::lora {
namespace {

struct Suffix {
  std::string_view text;
  Part part;
};

constexpr Suffix kSuffixes[] = {
    {".lora_A.weight", Part::lora_a},
    {".lora_B.weight", Part::lora_b},
    {".lora_B.bias", Part::lora_b_bias},
    {".lora_embedding_A", Part::embedding_a},
    {".lora_embedding_B", Part::embedding_b},
    {".lora_magnitude_vector", Part::magnitude},
    {".lora_magnitude_vector.weight", Part::magnitude},
    {".token_adapter.trainable_tokens_delta", Part::token_rows},
    {".token_adapter.base_layer.weight", Part::base_weight},
    {".base_layer.weight", Part::base_weight},
    {".base_layer.bias", Part::base_bias},
    {".original_module.weight", Part::original},
    {".original_module.bias", Part::original},
};

/// Removes one path component, given with the dot in front of it.
void erase_component(std::string& path, std::string_view dotted) {
  for (std::size_t at = path.find(dotted); at != std::string::npos; at = path.find(dotted, at + 1)) {
    const std::size_t end = at + dotted.size();
    if (end != path.size() && path[end] != '.') continue;
    path.erase(at, dotted.size());
    return;
  }
}

}  // namespace

Key parse_key(std::string_view name) {
  constexpr std::string_view kWrapper = "base_model.model.";
  while (name.starts_with(kWrapper)) name.remove_prefix(kWrapper.size());
  std::string path(name);
  erase_component(path, ".default");
  erase_component(path, ".modules_to_save");
  for (const Suffix& suffix : kSuffixes) {
    if (path.ends_with(suffix.text)) return {path.substr(0, path.size() - suffix.text.size()), suffix.part};
  }
  return {path, Part::whole};
}

}  // namespace d2c::lora
