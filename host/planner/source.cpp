#include "host/planner/source.hpp"

namespace d2c::host {

Source::Source(Handle<d2c_weight_source> handle) : handle_(std::move(handle)) {
  config_ = Value::from_c(handle_->config(handle_->self));
  const std::size_t count = handle_->tensor_count(handle_->self);
  tensors_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    d2c_tensor_info info{};
    handle_.check(handle_->tensor(handle_->self, i, &info));
    tensors_.push_back({info.name, TensorType::from_c(info.type), info.file});
    if (!index_.emplace(info.name, i).second)
      fail_input(plugin().name() + ": tensor '" + info.name + "' is listed twice");
  }
  tied_ = config_.bool_or("tie_word_embeddings", false) && !find(kHead) && find(kEmbedding).has_value();
}

std::optional<std::size_t> Source::find(const std::string& tensor) const {
  const auto it = index_.find(tensor);
  return it == index_.end() ? std::nullopt : std::optional(it->second);
}

std::vector<std::string> Source::files() const {
  std::vector<std::string> files;
  for (std::size_t i = 0; i < handle_->file_count(handle_->self); ++i)
    files.emplace_back(handle_->file(handle_->self, i));
  return files;
}

std::vector<Asset> Source::assets() const {
  std::vector<Asset> assets;
  for (std::size_t i = 0; i < handle_->asset_count(handle_->self); ++i) {
    d2c_asset asset{};
    handle_.check(handle_->asset(handle_->self, i, &asset));
    assets.push_back({asset.name, std::string(static_cast<const char*>(asset.data), asset.size)});
  }
  return assets;
}

RowView Source::rows(std::size_t tensor, std::int64_t first, std::int64_t count) const {
  d2c_view view{};
  handle_.check(handle_->view(handle_->self, tensor, first, count, &view));
  RowView rows(view);
  const TensorInfo& info = tensors_[tensor];
  const std::int64_t wanted = bytes_of(info.type.dtype, count * columns_of(info.type.shape));
  if (static_cast<std::int64_t>(rows.size()) != wanted)
    fail(Code::plugin, plugin().name() + ": tensor '" + info.name + "': " + std::to_string(rows.size()) +
                           " bytes delivered for " + std::to_string(count) + " rows, expected " +
                           std::to_string(wanted));
  return rows;
}

}  // namespace d2c::host
