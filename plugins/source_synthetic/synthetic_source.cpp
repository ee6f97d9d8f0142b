#include "plugins/source_synthetic/synthetic_source.hpp"

#include "libs/json/json.hpp"
#include "plugins/source_synthetic/published_configs.hpp"
#include "plugins/source_synthetic/tensor_catalogue.hpp"

#include <d2c/error.hpp>

#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

namespace d2c::source_synthetic {
namespace {

constexpr std::string_view kPrefix = "synthetic:";

bool names_config_file(const std::string& model) {
  return model.find('/') != std::string::npos || model.ends_with(".json");
}

Value read_config(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) fail_input(path + ": no such file, or not a regular one");
  return json::parse_file(path);
}

}  // namespace

int SyntheticSource::probe(const char* path) { return std::string_view(path).starts_with(kPrefix) ? 100 : 0; }

SyntheticSource::SyntheticSource(const Config& options) : generator_(options.get_or("seed", 0)) {
  const std::string path = options.require_text("path");
  if (!path.starts_with(kPrefix))
    fail_usage("path: '" + path + "' does not begin with \"" + std::string(kPrefix) + "\"");
  const std::string model = path.substr(kPrefix.size());
  if (names_config_file(model)) {
    files_.push_back(std::filesystem::absolute(model).string());
    config_ = read_config(files_.front());
  } else {
    config_ = published_config(model);
  }
  keep_layers(options.get_or("layers", 0));
  tensors_ = llama_tensors(config_, path);
}

void SyntheticSource::keep_layers(std::int64_t layers) {
  if (layers == 0) return;
  const Value* all = config_.find("num_hidden_layers");
  if (layers < 0 || (all != nullptr && all->is_integer() && layers > all->as_int()))
    fail_usage("layers: " + std::to_string(layers) + " is not between 0 and the model's number of layers");
  config_.set("num_hidden_layers", layers);
}

View SyntheticSource::view(std::size_t tensor, std::int64_t first, std::int64_t count) const {
  const TensorInfo& info = tensors_.at(tensor);
  const std::int64_t rows = rows_of(info.type.shape);
  if (first < 0 || count < 0 || first > rows || count > rows - first)
    fail(Code::plugin, info.name + ": has " + std::to_string(rows) + " rows; " + std::to_string(count) + " from " +
                           std::to_string(first) + " were asked for");
  const auto columns = static_cast<std::size_t>(columns_of(info.type.shape));
  const std::size_t elements = static_cast<std::size_t>(count) * columns;
  const std::shared_ptr<std::uint16_t[]> buffer(new std::uint16_t[elements]);
  const std::span<std::uint16_t> out(buffer.get(), elements);
  if (info.type.shape.size() == 2) {
    for (std::int64_t row = 0; row < count; ++row)
      generator_.matrix_row(info.name, first + row, out.subspan(static_cast<std::size_t>(row) * columns, columns));
  } else if (info.name.ends_with(".bias")) {
    generator_.bias(info.name, first, out);
  } else {
    generator_.norm(info.name, first, out);
  }
  return {std::as_bytes(out), buffer};
}

}  // namespace d2c::source_synthetic
