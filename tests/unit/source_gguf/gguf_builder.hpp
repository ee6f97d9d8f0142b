// Builds GGUF files in memory, valid or not, for the tests of source_gguf.
#pragma once

#include "plugins/source_gguf/gguf_source.hpp"
#include "plugins/source_gguf/header.hpp"

#include <d2c/plugin.hpp>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace d2c::source_gguf::testing {

/// The bytes of numbers and length-prefixed strings, one after the other.
class ByteString {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> ByteString& put(T value) {
    const auto at = bytes_.size();
    bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
    return *this;
  }
  ByteString& put(const std::string& text) {
    put(std::uint64_t{text.size()});
    bytes_ += text;
    return *this;
  }
  ByteString& raw(const std::string& bytes) {
    bytes_ += bytes;
    return *this;
  }
  [[nodiscard]] const std::string& str() const { return bytes_; }

 private:
  std::string bytes_;
};

struct BuiltTensor {
  std::string name;
  std::vector<std::uint64_t> dimensions;  ///< ggml order: the row's length first
  std::uint32_t type = 0;
  std::string data;
  std::int64_t shift = 0;  ///< moves the stated offset away from where the data is
};

class GgufBuilder {
 public:
  std::uint32_t magic = 0x46554747u, version = 3;
  std::uint64_t alignment = 32;
  std::int64_t extra_tensors = 0, extra_pairs = 0;  ///< added to the stated counts

  /// A metadata value of any type; a second call with the same key replaces it unless `duplicate`.
  GgufBuilder& value(const std::string& key, ValueType type, const std::string& bytes, bool duplicate = false) {
    if (!duplicate) remove(key);
    pairs_.emplace_back(key, ByteString().put(static_cast<std::uint32_t>(type)).raw(bytes).str());
    return *this;
  }
  GgufBuilder& remove(const std::string& key) {
    std::erase_if(pairs_, [&](const auto& p) { return p.first == key; });
    return *this;
  }
  GgufBuilder& text(const std::string& key, const std::string& v) {
    return value(key, ValueType::string, ByteString().put(v).str());
  }
  GgufBuilder& u32(const std::string& key, std::uint32_t v) {
    return value(key, ValueType::u32, ByteString().put(v).str());
  }
  GgufBuilder& f32(const std::string& key, float v) { return value(key, ValueType::f32, ByteString().put(v).str()); }
  GgufBuilder& boolean(const std::string& key, bool v) {
    return value(key, ValueType::boolean, ByteString().put(std::uint8_t{v}).str());
  }
  GgufBuilder& texts(const std::string& key, const std::vector<std::string>& items) {
    ByteString bytes = array(ValueType::string, items.size());
    for (const auto& item : items) bytes.put(item);
    return value(key, ValueType::array, bytes.str());
  }
  GgufBuilder& integers(const std::string& key, const std::vector<std::int32_t>& items) {
    ByteString bytes = array(ValueType::i32, items.size());
    for (const auto item : items) bytes.put(item);
    return value(key, ValueType::array, bytes.str());
  }
  static ByteString array(ValueType type, std::uint64_t count) {
    return ByteString().put(static_cast<std::uint32_t>(type)).put(count);
  }

  GgufBuilder& add(BuiltTensor t) {
    tensors_.push_back(std::move(t));
    return *this;
  }
  /// An fp32 tensor whose element i (in file order) is i, or the given values.
  GgufBuilder& floats(const std::string& name, std::vector<std::uint64_t> dimensions, std::vector<float> values = {}) {
    if (values.empty()) {
      std::uint64_t n = 1;
      for (const auto d : dimensions) n *= d;
      for (std::uint64_t i = 0; i < n; ++i) values.push_back(static_cast<float>(i));
    }
    return add({name, std::move(dimensions), 0,
                std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float))});
  }
  BuiltTensor& tensor(const std::string& name) {
    for (auto& t : tensors_)
      if (t.name == name) return t;
    throw std::out_of_range(name);
  }
  GgufBuilder& drop_tensor(const std::string& name) {
    std::erase_if(tensors_, [&](const auto& t) { return t.name == name; });
    return *this;
  }

  [[nodiscard]] std::string build() const {
    ByteString file;
    file.put(magic)
        .put(version)
        .put(tensors_.size() + static_cast<std::uint64_t>(extra_tensors))
        .put(pairs_.size() + static_cast<std::uint64_t>(extra_pairs));
    for (const auto& [key, bytes] : pairs_) file.put(key).raw(bytes);
    std::string data;
    for (const auto& t : tensors_) {
      file.put(t.name).put(static_cast<std::uint32_t>(t.dimensions.size()));
      for (const auto d : t.dimensions) file.put(d);
      file.put(t.type).put(data.size() + static_cast<std::uint64_t>(t.shift));
      data += t.data;
      data.resize((data.size() + alignment - 1) / alignment * alignment);
    }
    std::string bytes = file.str();
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    return bytes + data;
  }
  /// Size of everything before the padding and the data.
  [[nodiscard]] std::size_t header_size() const {
    GgufBuilder empty = *this;
    empty.alignment = 1;
    for (auto& t : empty.tensors_) t.data.clear();
    return empty.build().size();
  }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
  std::vector<BuiltTensor> tensors_;
};

/// One layer, hidden size 8, two heads of 4 over one key/value head, feed-forward 6, five tokens, all fp32.
inline GgufBuilder small_llama() {
  GgufBuilder b;
  b.text("general.architecture", "llama");
  b.u32("llama.block_count", 1)
      .u32("llama.context_length", 64)
      .u32("llama.embedding_length", 8)
      .u32("llama.feed_forward_length", 6);
  b.u32("llama.attention.head_count", 2).u32("llama.attention.head_count_kv", 1);
  b.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f).f32("llama.rope.freq_base", 500000.0f);
  b.floats("token_embd.weight", {8, 5}).floats("output_norm.weight", {8});
  b.floats("blk.0.attn_norm.weight", {8}).floats("blk.0.ffn_norm.weight", {8});
  b.floats("blk.0.attn_q.weight", {8, 8}).floats("blk.0.attn_k.weight", {8, 4}).floats("blk.0.attn_v.weight", {8, 4});
  b.floats("blk.0.attn_output.weight", {8, 8});
  b.floats("blk.0.ffn_gate.weight", {8, 6})
      .floats("blk.0.ffn_up.weight", {8, 6})
      .floats("blk.0.ffn_down.weight", {6, 8});
  return b;
}

/// A host that keeps what it is told.
class RecordingHost {
 public:
  std::vector<std::string> lines;
  [[nodiscard]] Host host() const { return Host(c_); }

 private:
  d2c_host c_{
      sizeof(d2c_host), this,
      [](void* self, d2c_log_level, const char* text) { static_cast<RecordingHost*>(self)->lines.emplace_back(text); },
      [](void*, d2c_code code, const char*) { return code; }, [](void*) { return std::int32_t{0}; }};
};

/// A source over bytes in memory, named "m.gguf", with all that keeps it alive.
class OpenedModel {
 public:
  explicit OpenedModel(std::string bytes)
      : bytes_(std::move(bytes)),
        source_(host_.host(), std::make_unique<MemoryBytes>("m.gguf", std::as_bytes(std::span(bytes_)))) {}
  explicit OpenedModel(const GgufBuilder& builder) : OpenedModel(builder.build()) {}

  const GgufSource* operator->() const { return &source_; }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return host_.lines; }
  [[nodiscard]] std::size_t index(const std::string& name) const {
    for (std::size_t i = 0; i < source_.tensors().size(); ++i)
      if (source_.tensors()[i].name == name) return i;
    throw std::out_of_range(name);
  }
  /// All rows of a tensor.
  template <class T>
  [[nodiscard]] std::vector<T> values(const std::string& name) const {
    return values<T>(name, 0, rows_of(source_.tensors()[index(name)].type.shape));
  }
  template <class T>
  [[nodiscard]] std::vector<T> values(const std::string& name, std::int64_t first, std::int64_t count) const {
    const View v = source_.view(index(name), first, count);
    std::vector<T> out(v.bytes.size() / sizeof(T));
    std::memcpy(out.data(), v.bytes.data(), v.bytes.size());
    return out;
  }

 private:
  RecordingHost host_;
  std::string bytes_;
  GgufSource source_;
};

}  // namespace d2c::source_gguf::testing
