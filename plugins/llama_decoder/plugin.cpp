#include "plugins/llama_decoder/llama_decoder.hpp"

D2C_PLUGIN("llama_decoder", D2C_SDK_VERSION, "Llama prefill and decode functions with a stateful key/value cache.",
           d2c::function_emitter<d2c::llama::LlamaDecoder>);
