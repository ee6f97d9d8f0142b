#include "plugins/lora_unsloth/lora_unsloth.hpp"

D2C_PLUGIN("lora_unsloth", "1.0.0", "PEFT and Unsloth LoRA adapters, merged in order.",
           d2c::adapter_merger<d2c::lora::LoraUnsloth>);
