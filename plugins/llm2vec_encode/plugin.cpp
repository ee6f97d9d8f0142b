#include "plugins/llm2vec_encode/llm2vec_encode.hpp"

D2C_PLUGIN("llm2vec_encode", D2C_SDK_VERSION, "A Llama model as a bidirectional text encoder, the LLM2Vec way.",
           d2c::function_emitter<d2c::llama::Llm2VecEncoder>);
