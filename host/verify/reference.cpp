#include "host/verify/reference.hpp"

#include "host/inference/sampler.hpp"
#include "host/inference/session.hpp"
#include "libs/safetensors/safetensors.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace d2c::host {
namespace {

constexpr const char* kFormat = "dolphin2coreml golden 1";

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path) : file_(path) {}

  Reference read() const {
    if (text("format") != kFormat)
      fail_input(file_.path() + ": is no golden file of this version: its metadata lacks format = \"" +
                 std::string(kFormat) + "\"; record it again with the scripts in tools/");
    Reference reference;
    reference.name = text("reference");
    reference.weights = weights();
    for (std::size_t i = 0; file_.find(tensor("prompt", i, "tokens")) != nullptr; ++i)
      reference.prompts.push_back(prompt(i));
    for (std::size_t i = 0; file_.find(tensor("sentence", i, "ids")) != nullptr; ++i)
      reference.sentences.push_back(sentence(i));
    return reference;
  }

 private:
  [[nodiscard]] std::string text(const std::string& key) const {
    const auto it = file_.metadata().find(key);
    return it == file_.metadata().end() ? std::string() : it->second;
  }

  static std::string tensor(const char* kind, std::size_t index, const char* part) {
    return std::string(kind) + "." + std::to_string(index) + "." + part;
  }

  [[nodiscard]] ReferenceWeights weights() const {
    const std::string whose = text("weights");
    if (whose == "package") return ReferenceWeights::package;
    if (whose == "checkpoint") return ReferenceWeights::checkpoint;
    fail_input(file_.path() + ": weights = \"" + whose +
               "\" in its metadata is neither \"package\" nor \"checkpoint\"");
  }

  [[nodiscard]] ReferencePrompt prompt(std::size_t i) const {
    ReferencePrompt p;
    p.prompt = {text("prompt." + std::to_string(i)), tokens(tensor("prompt", i, "tokens"))};
    p.answer = tokens(tensor("prompt", i, "generated"));
    const std::string name = tensor("prompt", i, "logits");
    const safetensors::Tensor& logits = find(name, DType::f32, 2);
    const auto rows = static_cast<std::int64_t>(p.answer.size()) + 1;
    if (logits.shape[0] != rows || logits.shape[1] < 1)
      fail_input(file_.path() + ": " + name + " is " + to_string(logits.shape) + "; expected " + std::to_string(rows) +
                 " rows, one for the prompt and one for each token of the answer");
    p.vocab = static_cast<std::size_t>(logits.shape[1]);
    p.data = file_.map(logits, 0, logits.size);
    return p;
  }

  [[nodiscard]] ReferenceSentence sentence(std::size_t i) const {
    ReferenceSentence s;
    s.sentence.text = text("sentence." + std::to_string(i));
    s.sentence.input.ids = tokens(tensor("sentence", i, "ids"));
    if (const std::string mask = tensor("sentence", i, "pooling_mask"); file_.find(mask) != nullptr)
      s.sentence.input.pooling_mask = tokens(mask);
    const safetensors::Tensor& embedding = find(tensor("sentence", i, "embedding"), DType::f32, 1);
    s.embedding.resize(embedding.size / sizeof(float));
    file_.read(embedding, 0, std::as_writable_bytes(std::span(s.embedding)));
    return s;
  }

  [[nodiscard]] const safetensors::Tensor& find(const std::string& name, DType dtype, std::size_t rank) const {
    const safetensors::Tensor* t = file_.find(name);
    if (t == nullptr) fail_input(file_.path() + ": lacks the tensor " + name);
    if (t->dtype != dtype || t->shape.size() != rank)
      fail_input(file_.path() + ": " + name + " is " + t->stored_dtype + " " + to_string(t->shape) + "; expected " +
                 std::string(name_of(dtype)) + " of rank " + std::to_string(rank));
    return *t;
  }

  [[nodiscard]] std::vector<std::int32_t> tokens(const std::string& name) const {
    const safetensors::Tensor& t = find(name, DType::i32, 1);
    std::vector<std::int32_t> values(t.size / sizeof(std::int32_t));
    file_.read(t, 0, std::as_writable_bytes(std::span(values)));
    return values;
  }

  safetensors::File file_;
};

ReferencePrompt answer(Session& session, const PromptTokens& prompt, std::int64_t count) {
  ReferencePrompt p{prompt, {}, static_cast<std::size_t>(session.vocab()), {}};
  auto kept = std::make_shared<std::vector<float>>();
  const auto keep = [&](std::span<const float> logits) {
    kept->insert(kept->end(), logits.begin(), logits.end());
    return argmax(logits);
  };
  session.rewind(0);
  std::int32_t next = keep(session.feed(prompt.tokens));
  for (std::int64_t i = 0; i < count; ++i) {
    p.answer.push_back(next);
    next = keep(session.feed({&next, 1}));
  }
  p.data = {std::as_bytes(std::span(*kept)), kept};
  return p;
}

}  // namespace

std::span<const float> ReferencePrompt::logits(std::size_t count) const {
  return {reinterpret_cast<const float*>(data.bytes.data()) + count * vocab, vocab};
}

Reference read_golden(const std::string& path) { return GoldenFile(path).read(); }

Reference record(const Model& model, std::span<const PromptTokens> prompts, std::int64_t count,
                 std::span<const SentenceTokens> sentences) {
  Reference reference;
  if (!prompts.empty() && (model.find("init") != nullptr || model.find("decode") != nullptr)) {
    Session session(model);
    for (const PromptTokens& prompt : prompts) reference.prompts.push_back(answer(session, prompt, count));
  }
  if (!sentences.empty() && model.find("encode") != nullptr) {
    const Embedder embedder(model);
    for (const SentenceTokens& sentence : sentences)
      reference.sentences.push_back({sentence, embedder.embed({&sentence.input, 1})});
  }
  return reference;
}

}  // namespace d2c::host
