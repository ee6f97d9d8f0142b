#include "host/inference/embedder.hpp"

#include "host/stop/stop.hpp"
#include "libs/numeric/convert.hpp"

#include <algorithm>
#include <limits>
#include <string>

namespace d2c::host {
namespace {

constexpr const char* kFunction = "encode";
constexpr DType kIds[] = {DType::i32};
constexpr DType kReals[] = {DType::f32, DType::f16};

}  // namespace

Embedder::Embedder(const Model& model) : model_(model) {
  const Signature& s = model.function(kFunction);
  const std::string where = model.path() + ": function '" + kFunction + "'";
  const TensorType& ids = require_feature(s.inputs, "input_ids", kIds, 2, where).type;
  for (const char* mask : {"attention_mask", "pooling_mask"})
    if (require_feature(s.inputs, mask, kIds, 2, where).type != ids)
      fail_input(where + ": '" + mask + "' and 'input_ids' differ in shape");
  const TensorType& embedding = require_feature(s.outputs, "embedding", kReals, 2, where).type;
  length_ = ids.shape.back();
  width_ = embedding.shape.back();
  dtype_ = embedding.dtype;
}

void Embedder::check(const EncoderInput& input, std::size_t index) const {
  const std::string where = "input " + std::to_string(index) + ": ";
  const auto tokens = static_cast<std::int64_t>(input.ids.size());
  if (tokens == 0) fail_input(where + "there is no token to embed");
  if (tokens > length_)
    fail_input(where + std::to_string(tokens) + " tokens do not fit into the " + std::to_string(length_) +
               " that 'encode' takes; shorten the text, or convert with a larger encoder.max_length");
  const std::int64_t vocab = model_.facts() ? model_.facts()->vocab_size : 0;
  const std::int64_t end = vocab > 0 ? vocab : std::numeric_limits<std::int32_t>::max();
  for (const std::int32_t id : input.ids)
    if (id < 0 || id >= end)
      fail_input(where + "token " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(end) +
                 " tokens; is this the model's own tokenizer?");
  if (input.pooling_mask.empty()) return;
  if (input.pooling_mask.size() != input.ids.size())
    fail_input(where + "pooling_mask has " + std::to_string(input.pooling_mask.size()) + " entries for " +
               std::to_string(tokens) + " tokens");
  if (std::all_of(input.pooling_mask.begin(), input.pooling_mask.end(), [](std::int32_t m) { return m == 0; }))
    fail_input(where + "pooling_mask is all zeros, so there is nothing to pool; set it to 1 for the tokens that count");
}

std::vector<float> Embedder::embed(std::span<const EncoderInput> inputs) const {
  for (std::size_t i = 0; i < inputs.size(); ++i) check(inputs[i], i);
  const auto width = static_cast<std::size_t>(width_);
  std::vector<float> rows(inputs.size() * width);
  std::vector<std::byte> one(static_cast<std::size_t>(bytes_of(dtype_, width_)));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    stop::throw_if_requested();
    encode(inputs[i], one);
    numeric::to_float(dtype_, one.data(), width, rows.data() + i * width);
  }
  return rows;
}

void Embedder::encode(const EncoderInput& input, std::span<std::byte> embedding) const {
  // Padding goes to the right, where positions of real tokens do not depend on it.
  std::vector<std::int32_t> ids(static_cast<std::size_t>(length_), 0), attention(ids), pooling(ids);
  std::copy(input.ids.begin(), input.ids.end(), ids.begin());
  std::fill_n(attention.begin(), input.ids.size(), 1);
  if (input.pooling_mask.empty()) pooling = attention;
  else
    std::transform(input.pooling_mask.begin(), input.pooling_mask.end(), pooling.begin(),
                   [](std::int32_t m) { return m != 0 ? 1 : 0; });
  const auto bytes = [](std::vector<std::int32_t>& v) { return std::as_writable_bytes(std::span(v)); };
  const Buffer inputs[] = {
      {"input_ids", bytes(ids)}, {"attention_mask", bytes(attention)}, {"pooling_mask", bytes(pooling)}};
  const Buffer outputs[] = {{"embedding", embedding}};
  model_.call(kFunction, nullptr, inputs, outputs);
}

}  // namespace d2c::host
