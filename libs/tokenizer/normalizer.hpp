// The "normalizer" of tokenizer.json: what happens to text before it is split.
#pragma once

#include <d2c/value.hpp>

#include <functional>
#include <string>
#include <vector>

namespace d2c::tokenizer {

class Normalizer {
 public:
  Normalizer() = default;
  /// `spec` may be null. Error(input) names a step that is not known here.
  Normalizer(const Value* spec, const std::string& where);

  [[nodiscard]] std::string apply(std::string text) const;
  [[nodiscard]] bool empty() const noexcept { return steps_.empty(); }

 private:
  void add(const Value& spec, const std::string& where);

  std::vector<std::function<std::string(std::string)>> steps_;
};

}  // namespace d2c::tokenizer
