// The "pre_tokenizer" of tokenizer.json: text to words, which are tokenized one by one.
#pragma once

#include <d2c/value.hpp>

#include <functional>
#include <string>
#include <vector>

namespace d2c::tokenizer {

class PreTokenizer {
 public:
  PreTokenizer() = default;
  /// `spec` may be null: the text is one word. Error(input) names a step that is not known here.
  PreTokenizer(const Value* spec, const std::string& where);

  /// The words in order; byte-level steps have mapped their bytes.
  [[nodiscard]] std::vector<std::string> apply(std::string text) const;

 private:
  void add(const Value& spec, const std::string& where);
  void add_split(const Value& spec, const std::string& where);
  void add_byte_level(const Value& spec, const std::string& where);

  using Words = std::vector<std::string>;
  std::vector<std::function<Words(Words)>> steps_;
};

}  // namespace d2c::tokenizer
