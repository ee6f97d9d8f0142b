#include "plugins/llm2vec_encode/llm2vec_encode.hpp"

#include "libs/llama_blocks/blocks.hpp"
#include "plugins/llm2vec_encode/encoder_settings.hpp"
#include "plugins/llm2vec_encode/pooling.hpp"

namespace d2c::llama {
namespace {

constexpr std::int64_t kMaxBatch = 1024;

}  // namespace

void Llm2VecEncoder::emit(const EmitRequest& request, Graph& g) {
  const LlamaConfig config = LlamaConfig::parse(request.config);
  const GraphSettings graph_settings = GraphSettings::parse_uncached(request.settings.at("graph"));
  const Value& encoder = request.settings.at("encoder");
  const EncoderSettings settings = EncoderSettings::parse(encoder, length_, config);

  if (batch_ < 1 || batch_ > kMaxBatch)
    fail_usage("function option batch is " + std::to_string(batch_) + "; set it to 1.." + std::to_string(kMaxBatch));

  const TensorType row{DType::i32, {batch_, settings.length}};
  const Node ids = g.input("input_ids", row);
  const Node attention_mask = g.input("attention_mask", row);
  const Node pooling_mask = g.input("pooling_mask", row);

  Blocks blocks(g, config, graph_settings, request);
  const Rotation rotation = blocks.rotation_tables(settings.length);
  // Every token sees every real token of its text: one row of visible keys serves all queries.
  Node visible = g.op("greater", "visible", {{"x", attention_mask}, {"y", Constant::i32(0)}});
  if (batch_ > 1) visible = g.op("expand_dims", "visible_by_text", {{"x", visible}, {"axes", Constant::i32s({1})}});
  const Node mask = blocks.mask(visible);
  const Node x = blocks.layers(blocks.embed(ids), rotation, mask,
                               [](std::int64_t /*layer*/, const KeysValues& fresh) { return fresh; });
  g.output(pool(g, settings.pooling, blocks.final_norm(x, DType::f32), pooling_mask), "embedding");
  g.metadata("d2c.encoder", encoder_metadata(encoder, settings, config, request.config.text_or("_name_or_path", "")));
}

}  // namespace d2c::llama
