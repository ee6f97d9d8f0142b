// A runner whose logits can be computed by hand, for tests of what drives runners.
//
// The path names what it offers: "counting:init,decode,encode", also "encode_3", "encode_x4", "encode_3_x4" and "other", a variant whose sums are
// one more. The cache remembers token + 1 at each position; the
// likeliest next token is the sum of token * (position + 1) over everything visible, modulo the vocabulary. `init`
// leaves garbage where its padding was, as a real package may. "counting:score" offers an `init` without `length` that gives
// the logits of every token.
#include <d2c/half.hpp>
#include <d2c/plugin.hpp>

#include <string>

namespace {

using d2c::Buffer;
using d2c::DType;

constexpr std::int32_t kContext = 12, kPrefill = 4, kVocab = 16, kLength = 6;
constexpr std::uint16_t kGarbage = 0x4100;

class State final : public d2c::RunnerState {
 public:
  Buffer buffer(const std::string& name) override {
    if (name != "kv_cache") d2c::fail_usage("no state '" + name + "'");
    return {name, std::as_writable_bytes(std::span(rows))};
  }
  std::array<std::uint16_t, 2 * kContext> rows{};  ///< two layers; the second repeats the first
};

const std::int32_t* ints(std::span<const Buffer> buffers, const std::string& name) {
  for (const Buffer& b : buffers)
    if (b.name == name) return reinterpret_cast<const std::int32_t*>(b.data.data());
  d2c::fail_usage("no buffer '" + name + "'");
}

class CountingRunner final : public d2c::Runner {
 public:
  static constexpr d2c::OptionSpec kOptions[] = {
      {"precision", D2C_VALUE_TEXT, "\"fp32\"", R"(["fp32","fp16"])", "Stands in the description."}};
  static int probe(const char* path) { return std::string(path).starts_with("counting:") ? 100 : 0; }

  explicit CountingRunner(const d2c::Config& config) {
    const std::string path = config.require_text("path");
    const d2c::Feature ids{"input_ids", {DType::i32, {1, kPrefill}}}, one{"input_ids", {DType::i32, {1, 1}}};
    const d2c::Feature position{"position", {DType::i32, {1}}}, length{"length", {DType::i32, {1}}};
    const d2c::Feature cache{"kv_cache", {DType::f16, {2, 1, kContext, 1}}},
        logits{"logits", {DType::f16, {1, kVocab}}};
    if (path.find("init") != std::string::npos)
      signatures_.push_back({"init", {ids, position, length}, {cache}, {logits}});
    if (path.find("score") != std::string::npos)
      signatures_.push_back({"init", {ids, position}, {cache}, {{"logits", {DType::f16, {kPrefill, kVocab}}}}});
    if (path.find("decode") != std::string::npos) signatures_.push_back({"decode", {one, position}, {cache}, {logits}});
    if (path.find("encode") != std::string::npos) signatures_.push_back(encoding("encode", 1, kLength));
    if (path.find("encode_3") != std::string::npos) signatures_.push_back(encoding("encode_3", 1, 3));
    if (path.find("encode_x4") != std::string::npos) signatures_.push_back(encoding("encode_x4", 4, kLength));
    if (path.find("encode_3_x4") != std::string::npos) signatures_.push_back(encoding("encode_3_x4", 4, 3));
    if (path.find("other") != std::string::npos) {
      signatures_.push_back({"init_other", {ids, position, length}, {cache}, {logits}});
      signatures_.push_back({"decode_other", {one, position}, {cache}, {logits}});
    }
    if (path.find("strange") != std::string::npos) signatures_.push_back({"decode", {one}, {cache}, {logits}});
    d2c::Value metadata = d2c::Value::table();
    metadata.set("d2c.model",
                 R"({"version":1,"architecture":"Counting","vocab_size":16,"eos_token_ids":[2],"bos_token_id":1})");
    if (path.find("broken") != std::string::npos) metadata.set("d2c.model", R"({"eos_token_ids":"two"})");
    description_.set("metadata", std::move(metadata));
    description_.set("precision", config.get_or("precision", ""));
  }

  const std::vector<d2c::Signature>& signatures() const override { return signatures_; }
  std::unique_ptr<d2c::RunnerState> make_state() override { return std::make_unique<State>(); }
  const d2c::Value& describe() const override { return description_; }

  void call(const std::string& function, d2c::RunnerState* state, std::span<const Buffer> inputs,
            std::span<const Buffer> outputs) override {
    if (function.starts_with("encode")) return encode(inputs, outputs);
    auto& rows = static_cast<State*>(state)->rows;
    const std::int32_t* ids = ints(inputs, "input_ids");
    const std::int32_t position = *ints(inputs, "position");
    const bool init = function.starts_with("init"), has_length = inputs.size() > 2;
    const std::int32_t count = init ? kPrefill : 1, valid = has_length ? *ints(inputs, "length") : count;
    if (position < 0 || position + count > kContext) d2c::fail_usage("position is out of range");
    for (std::int32_t i = 0; i < count; ++i) {
      const std::uint16_t value = i < valid ? d2c::float_to_half(static_cast<float>(ids[i] + 1)) : kGarbage;
      const auto row = static_cast<std::size_t>(position + i);
      rows[row] = rows[kContext + row] = value;
    }
    auto* logits = reinterpret_cast<std::uint16_t*>(outputs[0].data.data());
    for (std::int32_t last = has_length ? valid : 1; last <= valid; ++last, logits += kVocab)
      write_logits(rows, position + last, function.ends_with("_other") ? 1 : 0, logits);
  }

 private:
  static d2c::Signature encoding(const char* name, std::int64_t batch, std::int64_t length) {
    const d2c::TensorType row{DType::i32, {batch, length}};
    return {name,
            {{"input_ids", row}, {"attention_mask", row}, {"pooling_mask", row}},
            {},
            {{"embedding", {DType::f32, {batch, 3}}}}};
  }

  static void write_logits(const std::array<std::uint16_t, 2 * kContext>& rows, std::int32_t visible, std::int32_t sum,
                           std::uint16_t* logits) {
    for (std::int32_t i = 0; i < visible; ++i)
      sum += (static_cast<std::int32_t>(d2c::half_to_float(rows[static_cast<std::size_t>(i)])) - 1) * (i + 1);
    for (std::int32_t v = 0; v < kVocab; ++v)
      logits[v] = d2c::float_to_half(v == sum % kVocab ? 8.0F : -static_cast<float>(v) / 16);
  }

  /// For each text: sum of the ids that count, how many count, how many are there.
  static void encode(std::span<const Buffer> inputs, std::span<const Buffer> outputs) {
    auto* embeddings = reinterpret_cast<float*>(outputs[0].data.data());
    const std::size_t texts = outputs[0].data.size() / (3 * sizeof(float));
    const std::size_t tokens = inputs[0].data.size() / sizeof(std::int32_t);
    std::fill_n(embeddings, 3 * texts, 0.0F);
    for (std::size_t i = 0; i < tokens; ++i) {
      float* embedding = embeddings + i / (tokens / texts) * 3;
      const auto pooled = static_cast<float>(ints(inputs, "pooling_mask")[i]);
      embedding[0] += pooled * static_cast<float>(ints(inputs, "input_ids")[i]);
      embedding[1] += pooled;
      embedding[2] += static_cast<float>(ints(inputs, "attention_mask")[i]);
    }
  }

  std::vector<d2c::Signature> signatures_;
  d2c::Value description_ = d2c::Value::table();
};

}  // namespace

D2C_PLUGIN("counting_runner", "1.0.0", "Logits that can be computed by hand.", d2c::runner<CountingRunner>);
