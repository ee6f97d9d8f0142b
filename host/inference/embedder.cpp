#include "host/inference/embedder.hpp"

#include "host/stop/stop.hpp"
#include "libs/numeric/convert.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace d2c::host {
namespace {

constexpr const char* kFunction = "encode";
constexpr DType kIds[] = {DType::i32};
constexpr DType kReals[] = {DType::f32, DType::f16};

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// "encode", "encode_64", "encode_x8", "encode_64_x8".
bool encodes(std::string_view name) {
  if (!name.starts_with(kFunction)) return false;
  name.remove_prefix(std::string_view(kFunction).size());
  if (const auto x = name.rfind("_x"); x != std::string_view::npos && is_number(name.substr(x + 2)))
    name = name.substr(0, x);
  return name.empty() || (name.starts_with('_') && is_number(name.substr(1)));
}

bool is_zero(std::int32_t mask) { return mask == 0; }

void copy_mask(const std::vector<std::int32_t>& mask, std::span<std::int32_t> to) {
  std::ranges::transform(mask, to.begin(), [](std::int32_t m) { return is_zero(m) ? 0 : 1; });
}

}  // namespace

Embedder::Embedder(const Model& model) : model_(model) {
  for (const Signature& s : model.signatures())
    if (encodes(s.function)) add(encoding_function(model, s));
  if (buckets_.empty()) (void)model.function(kFunction);
  std::ranges::sort(buckets_, {}, &Bucket::length);
  for (Bucket& bucket : buckets_) std::ranges::sort(bucket.functions, std::greater(), &Function::batch);
}

Embedder::Function Embedder::encoding_function(const Model& model, const Signature& s) {
  const std::string where = model.path() + ": function '" + s.function + "'";
  const TensorType& ids = require_feature(s.inputs, "input_ids", kIds, 2, where).type;
  for (const char* mask : {"attention_mask", "pooling_mask"})
    if (require_feature(s.inputs, mask, kIds, 2, where).type != ids)
      fail_input(where + ": '" + mask + "' and 'input_ids' differ in shape");
  const TensorType& embedding = require_feature(s.outputs, "embedding", kReals, 2, where).type;
  if (embedding.shape.front() != ids.shape.front())
    fail_input(where + ": 'embedding' is " + embedding.text() + " for 'input_ids' of " + ids.text());
  return {s.function, ids.shape.back(), ids.shape.front(), embedding.shape.back(), embedding.dtype};
}

void Embedder::add(Function function) {
  if (width_ == 0) width_ = function.width;
  if (function.width != width_)
    fail_input(model_.path() + ": function '" + function.name + "' gives embeddings of " +
               std::to_string(function.width) + " numbers, others of " + std::to_string(width_));
  auto bucket = std::ranges::find(buckets_, function.length, &Bucket::length);
  if (bucket == buckets_.end()) bucket = buckets_.insert(bucket, {function.length, {}});
  bucket->functions.push_back(std::move(function));
}

const Embedder::Bucket& Embedder::bucket_for(std::size_t tokens) const {
  for (const Bucket& bucket : buckets_)
    if (static_cast<std::int64_t>(tokens) <= bucket.length) return bucket;
  fail_input(std::to_string(tokens) + " tokens do not fit into the " + std::to_string(max_length()) +
             " that 'encode' takes; shorten the text, or convert with a larger encoder.max_length");
}

std::int64_t Embedder::vocabulary() const {
  // The encoder may be another model than the one that chats.
  const std::int64_t own = model_.encoder_facts() ? model_.encoder_facts()->vocab_size : 0;
  const std::int64_t vocab = own == 0 && model_.facts() ? model_.facts()->vocab_size : own;
  return vocab > 0 ? vocab : std::numeric_limits<std::int32_t>::max();
}

void Embedder::check(const EncoderInput& input) const {
  if (input.ids.empty()) fail_input("there is no token to embed");
  (void)bucket_for(input.ids.size());
  const std::int64_t end = vocabulary();
  for (const std::int32_t id : input.ids)
    if (id < 0 || id >= end)
      fail_input("token " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(end) +
                 " tokens; is this the model's own tokenizer?");
  check_masks(input);
}

void Embedder::check_masks(const EncoderInput& input) const {
  const std::size_t tokens = input.ids.size();
  for (const auto& [name, mask] :
       {std::pair("pooling_mask", &input.pooling_mask), std::pair("attention_mask", &input.attention_mask)})
    if (!mask->empty() && mask->size() != tokens)
      fail_input(std::string(name) + " has " + std::to_string(mask->size()) + " entries for " + std::to_string(tokens) +
                 " tokens");
  const auto all_zeros = [](const std::vector<std::int32_t>& mask) {
    return !mask.empty() && std::ranges::all_of(mask, is_zero);
  };
  if (all_zeros(input.attention_mask)) fail_input("attention_mask is all zeros, so there is nothing but padding");
  if (all_zeros(input.pooling_mask))
    fail_input("pooling_mask is all zeros, so there is nothing to pool; set it to 1 for the tokens that count");
  if (input.attention_mask.empty() || input.pooling_mask.empty()) return;
  for (std::size_t i = 0; i < tokens; ++i)
    if (input.pooling_mask[i] != 0 && input.attention_mask[i] == 0)
      fail_input("token " + std::to_string(i) + " is padding for attention_mask, and pooled for pooling_mask");
}

std::vector<float> Embedder::embed(std::span<const EncoderInput> inputs) const {
  for (std::size_t i = 0; i < inputs.size(); ++i) try {
      check(inputs[i]);
    } catch (const Error& e) {
      throw Error(e.code(), "input " + std::to_string(i) + ": " + e.what());
    }
  std::vector<float> rows(inputs.size() * static_cast<std::size_t>(width_));
  std::map<const Bucket*, std::vector<std::size_t>> waiting;
  for (std::size_t i = 0; i < inputs.size(); ++i) waiting[&bucket_for(inputs[i].ids.size())].push_back(i);
  for (const auto& [bucket, all] : waiting)
    for (std::span<const std::size_t> left = all; !left.empty();) {
      stop::throw_if_requested();
      const auto fills_half = [&](const Function& f) { return static_cast<std::int64_t>(2 * left.size()) > f.batch; };
      const auto f = std::ranges::find_if(bucket->functions, fills_half);
      const Function& chosen = f == bucket->functions.end() ? bucket->functions.back() : *f;
      const auto count = std::min(left.size(), static_cast<std::size_t>(chosen.batch));
      encode(chosen, inputs, left.first(count), rows);
      left = left.subspan(count);
    }
  return rows;
}

void Embedder::encode(const Function& f, std::span<const EncoderInput> inputs, std::span<const std::size_t> which,
                      std::vector<float>& rows) const {
  // Padding goes to the right, where positions of real tokens do not depend on it.
  const auto length = static_cast<std::size_t>(f.length), width = static_cast<std::size_t>(width_);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(f.batch) * length, 0), attention(ids), pooling(ids);
  for (std::size_t t = 0; t < which.size(); ++t) {
    const EncoderInput& input = inputs[which[t]];
    const auto row = [&](std::vector<std::int32_t>& all) {
      return std::span(all).subspan(t * length, input.ids.size());
    };
    std::ranges::copy(input.ids, row(ids).begin());
    if (input.attention_mask.empty()) std::ranges::fill(row(attention), 1);
    else copy_mask(input.attention_mask, row(attention));
    if (input.pooling_mask.empty()) std::ranges::copy(row(attention), row(pooling).begin());
    else copy_mask(input.pooling_mask, row(pooling));
  }
  std::vector<std::byte> embeddings(static_cast<std::size_t>(bytes_of(f.dtype, f.batch * width_)));
  const auto bytes = [](std::vector<std::int32_t>& v) { return std::as_writable_bytes(std::span(v)); };
  const Buffer in[] = {
      {"input_ids", bytes(ids)}, {"attention_mask", bytes(attention)}, {"pooling_mask", bytes(pooling)}};
  const Buffer out[] = {{"embedding", embeddings}};
  model_.call(f.name, nullptr, in, out);
  const auto size = static_cast<std::size_t>(bytes_of(f.dtype, width_));
  for (std::size_t t = 0; t < which.size(); ++t)
    numeric::to_float(f.dtype, embeddings.data() + t * size, width, rows.data() + which[t] * width);
}

}  // namespace d2c::host
