// A weight source as the planner and the executor use it.
#pragma once

#include "host/loader/plugin_registry.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace d2c::host {

/// Rows of a tensor, lent by the source until destroyed.
class RowView {
 public:
  explicit RowView(const d2c_view& view) : view_(view) {}
  RowView(RowView&& o) noexcept : view_(std::exchange(o.view_, {})) {}
  RowView& operator=(RowView&&) = delete;
  ~RowView() {
    if (view_.release != nullptr) view_.release(&view_);
  }
  [[nodiscard]] const void* data() const noexcept { return view_.data; }
  [[nodiscard]] std::size_t size() const noexcept { return view_.size; }

 private:
  d2c_view view_;
};

/// `rows` is thread-safe; the rest is set once by the constructor.
class Source {
 public:
  explicit Source(Handle<d2c_weight_source> handle);

  [[nodiscard]] const Value& config() const noexcept { return config_; }
  [[nodiscard]] const std::vector<TensorInfo>& tensors() const noexcept { return tensors_; }
  [[nodiscard]] std::optional<std::size_t> find(const std::string& tensor) const;
  /// The model has no head of its own: embed_tokens serves as lm_head.
  [[nodiscard]] bool tied() const noexcept { return tied_; }
  [[nodiscard]] std::vector<std::string> files() const;
  [[nodiscard]] std::vector<Asset> assets() const;
  [[nodiscard]] Plugin& plugin() const noexcept { return handle_.plugin(); }

  /// Rows [first, first + count) of a tensor; fails where the source delivers another number of bytes.
  [[nodiscard]] RowView rows(std::size_t tensor, std::int64_t first, std::int64_t count) const;

 private:
  Handle<d2c_weight_source> handle_;
  Value config_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  bool tied_ = false;
};

inline constexpr const char* kEmbedding = "model.embed_tokens.weight";
inline constexpr const char* kHead = "lm_head.weight";

/// What precedes the names of those attachments of a package that are the encoder's own, as it is another model.
inline constexpr const char* kEncoderAsset = "encoder.";

}  // namespace d2c::host
