// Any bytes as adapter_config.json: an error, or settings that answer for every module; never a crash.
#include "libs/json/json.hpp"
#include "plugins/lora_unsloth/config.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const d2c::Value json = d2c::json::parse({reinterpret_cast<const char*>(data), size}, "fuzz.json");
    const d2c::lora::AdapterConfig config = d2c::lora::parse_config(json, "fuzz.json");
    for (const char* module : {"model.layers.11.self_attn.q_proj", "model.embed_tokens", "lm_head"}) {
      (void)config.targets_module(module, true);
      (void)config.scaling_of(module);
      if (config.rank_of(module) <= 0) std::abort();
    }
  } catch (const d2c::Error&) {
  }
  return 0;
}
