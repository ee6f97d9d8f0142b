// Golden files for tests.
#pragma once

#include "host/verify/reference.hpp"
#include "libs/safetensors/writer.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace d2c::host::test {

class GoldenWriter {
 public:
  std::map<std::string, std::string> metadata{
      {"format", "dolphin2coreml golden 1"}, {"weights", "package"}, {"reference", "by hand"}};

  void ints(const std::string& name, std::vector<std::int32_t> values) { ints_.push_back({name, std::move(values)}); }
  void reals(const std::string& name, Shape shape, std::vector<float> values) {
    reals_.push_back({name, {std::move(shape), std::move(values)}});
  }

  [[nodiscard]] std::string write() const {
    const std::string path =
        (std::filesystem::temp_directory_path() / ("golden-" + std::to_string(getpid()) + ".safetensors")).string();
    std::vector<safetensors::NamedTensor> tensors;
    for (const auto& [name, values] : ints_)
      tensors.push_back(
          {name, {DType::i32, {static_cast<std::int64_t>(values.size())}}, std::as_bytes(std::span(values))});
    for (const auto& [name, tensor] : reals_)
      tensors.push_back({name, {DType::f32, tensor.first}, std::as_bytes(std::span(tensor.second))});
    safetensors::write_file(path, tensors, metadata);
    return path;
  }

 private:
  std::vector<std::pair<std::string, std::vector<std::int32_t>>> ints_;
  std::vector<std::pair<std::string, std::pair<Shape, std::vector<float>>>> reals_;
};

}  // namespace d2c::host::test
