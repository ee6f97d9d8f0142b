#include "plugins/llm2vec_encode/llm2vec_encode.hpp"

#include "libs/json/json.hpp"
#include "libs/llama_blocks/blocks.hpp"
#include "plugins/llm2vec_encode/encoder_settings.hpp"
#include "plugins/llm2vec_encode/pooling.hpp"

namespace d2c::llama {
namespace {

/// How callers prepare sentences follows from the model's exact name in llm2vec 0.2.3, so it does here.
void add_text_rules(const std::string& model_name, Value& v) {
  if (model_name == "meta-llama/Meta-Llama-3-8B-Instruct") v.set("chat_wrapper", true);
  if (model_name == "meta-llama/Meta-Llama-3-8B") v.set("end_of_text", "<|end_of_text|>");
}

std::string metadata(const LlamaConfig& config, const std::string& model_name, const EncoderSettings& settings,
                     const Value& encoder) {
  Value v = Value::table();
  v.set("version", 1);
  v.set("pooling", settings.pooling_name);
  v.set("max_length", settings.max_length);
  v.set("hidden_size", config.hidden_size);
  v.set("skip_instruction", settings.skip_instruction);
  add_text_rules(model_name, v);
  for (const char* key : {"weights", "instruction_separator"})
    if (const Value* value = encoder.find(key)) v.set(key, *value);
  return json::dump(v);
}

}  // namespace

void Llm2VecEncoder::emit(const EmitRequest& request, Graph& g) {
  const LlamaConfig config = LlamaConfig::parse(request.config);
  // A recipe without a decoder has no use for context and prefill, but they are checked all the same.
  const GraphSettings graph_settings = GraphSettings::parse(request.settings.at("graph"), config);
  const Value& encoder = request.settings.at("encoder");
  const EncoderSettings settings = EncoderSettings::parse(encoder, config);

  const TensorType row{DType::i32, {1, settings.max_length}};
  const Node ids = g.input("input_ids", row);
  const Node attention_mask = g.input("attention_mask", row);
  const Node pooling_mask = g.input("pooling_mask", row);

  Blocks blocks(g, config, graph_settings, request);
  const Rotation rotation = blocks.rotation_tables(settings.max_length);
  // Every token sees every real token: one row of visible keys serves all queries.
  const Node mask = blocks.mask(g.op("greater", "visible", {{"x", attention_mask}, {"y", Constant::i32(0)}}));
  const Node x = blocks.layers(blocks.embed(ids), rotation, mask,
                               [](std::int64_t /*layer*/, const KeysValues& fresh) { return fresh; });
  g.output(pool(g, settings.pooling, blocks.final_norm(x, DType::f32), pooling_mask), "embedding");
  g.metadata("d2c.encoder", metadata(config, request.config.text_or("_name_or_path", ""), settings, encoder));
}

}  // namespace d2c::llama
