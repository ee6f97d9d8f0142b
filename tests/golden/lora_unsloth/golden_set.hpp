// A folder of reference adapters: cases.json, models/, adapters/, goldens/, malformed/. The committed excerpt and a full
// set from elsewhere have the same layout.
#pragma once

#include "plugins/lora_unsloth/lora_unsloth.hpp"

#include "libs/json/json.hpp"
#include "libs/numeric/convert.hpp"
#include "libs/safetensors/safetensors.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace d2c::lora::testing {

namespace fs = std::filesystem;

/// Keeps what the plugin logs.
class RecordingHost {
 public:
  RecordingHost() {
    c_.struct_size = sizeof c_;
    c_.self = this;
    c_.log = [](void* self, d2c_log_level level, const char* text) {
      if (level == D2C_LOG_WARN) static_cast<RecordingHost*>(self)->warnings.emplace_back(text);
    };
    c_.fail = [](void*, d2c_code code, const char*) { return code; };
    c_.cancelled = [](void*) { return std::int32_t{0}; };
  }
  RecordingHost(const RecordingHost&) = delete;
  RecordingHost& operator=(const RecordingHost&) = delete;

  [[nodiscard]] Host host() const { return Host(c_); }

  std::vector<std::string> warnings;

 private:
  d2c_host c_{};
};

struct Matrix {
  Shape shape;
  std::vector<float> values;
};

inline Matrix load(const safetensors::File& file, const safetensors::Tensor& t) {
  Matrix m{t.shape, std::vector<float>(static_cast<std::size_t>(count_of(t.shape)))};
  const View view = file.map(t, 0, t.size);
  numeric::to_float(t.dtype, view.bytes.data(), m.values.size(), m.values.data());
  return m;
}

/// A base model of one or more files, upcast to fp32; a tied head is listed as the host lists it.
struct Model {
  BaseModel base;
  std::map<std::string, Matrix> weights;

  explicit Model(const fs::path& directory) {
    base.config = json::parse_file((directory / "config.json").string());
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(directory))
      if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& path : files) add(safetensors::File(path.string()));
    if (!base.config.bool_or("tie_word_embeddings", false) || weights.count("lm_head.weight") != 0) return;
    base.tied = true;
    weights["lm_head.weight"] = weights.at("model.embed_tokens.weight");
    base.tensors.push_back({"lm_head.weight", {DType::f32, weights["lm_head.weight"].shape}, 0});
  }

 private:
  void add(const safetensors::File& file) {
    for (const safetensors::Tensor& t : file.tensors()) {
      base.tensors.push_back({t.name, {t.dtype, t.shape}, 0});
      weights[t.name] = load(file, t);
    }
  }
};

inline Config stack_options(const std::vector<std::pair<std::string, double>>& adapters,
                            const std::string& combination = "sequential", const Value* settings = nullptr) {
  Value list = Value::list();
  for (const auto& [path, weight] : adapters)
    list.push_back(Value(Value::Table{{"path", Value(path)}, {"weight", Value(weight)}}));
  Value options = settings != nullptr ? *settings : Value::table();
  options.set("adapters", std::move(list));
  options.set("combination", combination);
  return Config(std::move(options));
}

/// The whole tensor, merged in tiles of `tile_rows`.
inline std::vector<float> merge(LoraUnsloth& merger, const AdapterTarget& target, const Matrix& base,
                                std::int64_t tile_rows) {
  std::vector<float> merged = base.values;
  const auto job = merger.begin(target.tensor);
  const std::int64_t rows = rows_of(base.shape), columns = columns_of(base.shape);
  const auto each_tile = [&](auto&& body) {
    for (std::int64_t first = 0; first < rows; first += tile_rows) {
      const std::int64_t count = std::min(tile_rows, rows - first);
      body(first, count,
           std::span<float>(merged).subspan(static_cast<std::size_t>(first * columns),
                                            static_cast<std::size_t>(count * columns)));
    }
  };
  if ((target.flags & D2C_TARGET_PREPARE) != 0)
    each_tile([&](auto first, auto count, auto tile) { job->observe(first, count, tile); });
  each_tile([&](auto first, auto count, auto tile) { job->process(first, count, tile); });
  return merged;
}

/// The committed excerpt, and the folder named by D2C_GOLDENS if there is one.
inline std::vector<fs::path> golden_folders() {
  std::vector<fs::path> folders{fs::path(D2C_SOURCE_DIR) / "tests/data/lora_unsloth"};
  if (const char* external = std::getenv("D2C_GOLDENS")) folders.emplace_back(external);
  return folders;
}

inline std::vector<Value> cases_of_kind(const fs::path& folder, const std::string& kind) {
  const Value index = json::parse_file((folder / "cases.json").string());
  std::vector<Value> cases;
  for (const Value& c : index.at("cases").items())
    if (c.at("kind").as_text() == kind && !c.at("adapters").items().empty()) cases.push_back(c);
  return cases;
}

inline std::vector<std::pair<std::string, double>> adapters_of(const Value& test_case, const fs::path& folder) {
  std::vector<std::pair<std::string, double>> adapters;
  for (const Value& a : test_case.at("adapters").items())
    adapters.emplace_back((folder / a.at("dir").as_text()).string(), a.real_or("weight", 1));
  return adapters;
}

}  // namespace d2c::lora::testing
