// What a base model offers to adapters, by name.
#pragma once

#include <d2c/plugin.hpp>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace d2c::lora {

/// The suffix of a weight's name: what stands before it is the module.
inline constexpr std::string_view kWeight = ".weight";
inline constexpr std::string_view kBias = ".bias";

class BaseIndex {
 public:
  explicit BaseIndex(const BaseModel& base);

  [[nodiscard]] bool tied() const noexcept { return tied_; }
  [[nodiscard]] const std::vector<std::string>& tensors() const noexcept { return tensors_; }
  /// Modules with a matrix as weight, in the base's order.
  [[nodiscard]] const std::vector<std::string>& matrix_modules() const noexcept { return matrix_modules_; }
  /// Null where there is no such tensor.
  [[nodiscard]] const Shape* find(const std::string& tensor) const;
  /// A vocabulary grew: adapters that come later see it so.
  void resize(const std::string& tensor, const Shape& shape) { shapes_.at(tensor) = shape; }
  /// For error messages: "2 layers with down_proj, ..., and embed_tokens, lm_head".
  [[nodiscard]] std::string description() const;

 private:
  bool tied_;
  std::vector<std::string> tensors_;
  std::vector<std::string> matrix_modules_;
  std::unordered_map<std::string, Shape> shapes_;
};

/// The path's part after its last dot.
[[nodiscard]] std::string_view last_component(std::string_view path);
/// "a.b.weight" -> "a.b"
[[nodiscard]] std::string module_of(const std::string& tensor);
[[nodiscard]] bool is_embedding(std::string_view module);
[[nodiscard]] bool is_output_head(std::string_view module);

/// "a, b, c and 7 more": the first ten.
[[nodiscard]] std::string enumerate(const std::vector<std::string>& names);

}  // namespace d2c::lora
