#include "plugins/source_gguf/gguf_source.hpp"

D2C_PLUGIN("source_gguf", D2C_SDK_VERSION, "Llama models from GGUF files.",
           d2c::weight_source<d2c::source_gguf::GgufSource>);
