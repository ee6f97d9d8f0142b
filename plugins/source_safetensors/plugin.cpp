#include "plugins/source_safetensors/safetensors_source.hpp"

D2C_PLUGIN("source_safetensors", D2C_SDK_VERSION, "Reads Hugging Face checkpoints stored as safetensors.",
           d2c::weight_source<d2c::source_safetensors::SafetensorsSource>);
