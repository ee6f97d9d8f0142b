// A package opened to be run: its functions, what its metadata says, calls and states.
#pragma once

#include "host/loader/plugin_registry.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

struct RunnerOptions {
  std::string plugin;              ///< empty: whichever recognises the package
  std::string precision = "fp32";  ///< "fp32", "fp16" or "fast"
  unsigned threads = 0;            ///< 0: all cores
};

/// "d2c.model" of the metadata.
struct ModelFacts {
  std::string architecture, kv, precision;
  std::int64_t vocab_size = 0, hidden_size = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t context = 0, prefill = 0;
  std::optional<std::int32_t> bos;
  std::vector<std::int32_t> eos;
};

/// "d2c.encoder" of the metadata.
struct EncoderFacts {
  std::string pooling = "mean";
  std::int64_t max_length = 0, hidden_size = 0;
  std::int64_t vocab_size = 0;        ///< 0: the package does not say
  std::int64_t doc_max_length = 400;  ///< tokens of a text that is put behind an instruction
  bool skip_instruction = true;
  bool chat_wrapper = false;          ///< sentences are a user's turn of Llama 3
  std::string end_of_text = " </s>";  ///< what eos_token pooling appends
};

/// The states of one session.
class ModelState {
 public:
  ModelState(const Handle<d2c_runner>& runner, void* state) : runner_(&runner), state_(state) {}
  ModelState(ModelState&& o) noexcept : runner_(o.runner_), state_(std::exchange(o.state_, nullptr)) {}
  ModelState& operator=(ModelState&&) = delete;
  ~ModelState();

  /// The bytes of a named state, in place, valid as long as this object.
  [[nodiscard]] std::span<std::byte> bytes(const std::string& name) const;
  [[nodiscard]] void* get() const noexcept { return state_; }

 private:
  const Handle<d2c_runner>* runner_;
  void* state_;
};

/// Const members are thread-safe, with one call per state at a time. Outlived by no state of it.
class Model {
 public:
  /// Error(input) for what no runner can open, Error(usage) for options that the runner does not have.
  Model(PluginRegistry& plugins, std::string path, const RunnerOptions& options);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::vector<Signature>& signatures() const noexcept { return signatures_; }
  /// Null where the package has no such function.
  [[nodiscard]] const Signature* find(const std::string& function) const noexcept;
  /// Error(input) naming the functions there are.
  [[nodiscard]] const Signature& function(const std::string& name) const;

  /// See d2c_runner::describe.
  [[nodiscard]] const Value& description() const noexcept { return description_; }
  /// The JSON text of a metadata key parsed; null where the package has no such key.
  [[nodiscard]] Value metadata(const std::string& key) const;
  [[nodiscard]] const std::optional<ModelFacts>& facts() const noexcept { return facts_; }
  [[nodiscard]] const std::optional<EncoderFacts>& encoder_facts() const noexcept { return encoder_facts_; }

  [[nodiscard]] ModelState make_state() const;
  /// `state` may be null for a function without states.
  void call(const std::string& function, ModelState* state, std::span<const Buffer> inputs,
            std::span<const Buffer> outputs) const;

 private:
  [[nodiscard]] std::vector<Signature> read_signatures() const;
  [[nodiscard]] std::optional<ModelFacts> read_facts() const;
  [[nodiscard]] std::optional<EncoderFacts> read_encoder_facts() const;

  std::string path_;
  Handle<d2c_runner> runner_;
  std::vector<Signature> signatures_;
  Value description_;
  std::optional<ModelFacts> facts_;
  std::optional<EncoderFacts> encoder_facts_;
};

/// The feature of that name, checked to be `dtype` with `rank` dimensions; Error(input) naming `where` otherwise.
[[nodiscard]] const Feature& require_feature(const std::vector<Feature>& features, const std::string& name,
                                             std::span<const DType> dtypes, std::size_t rank, const std::string& where);

/// The fp32 values of an output's bytes.
[[nodiscard]] std::span<const float> widen(DType dtype, std::span<const std::byte> bytes, std::vector<float>& room);

}  // namespace d2c::host
