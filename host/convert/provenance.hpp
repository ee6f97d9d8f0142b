// What determined a package: digests of every input, plugin and the recipe, and the files that travel with the weights.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/recipe/recipe.hpp"

#include <functional>
#include <string>
#include <vector>

namespace d2c::host {

class Provenance {
 public:
  Provenance(const Recipe& recipe, const Assembly& assembly);

  /// One piece of work per input file: hashing it. They may run in parallel and touch nothing but their own result.
  [[nodiscard]] std::vector<std::function<void()>> work();

  /// Error(input) where an input file is no longer the one that was opened.
  void check_unchanged() const;

  /// Tokenizer files, recipe.json and provenance.json, sorted by name; call after `work` is done. No paths of this
  /// machine and no times, so that equal inputs give equal bytes anywhere.
  [[nodiscard]] std::vector<Asset> attachments() const;

 private:
  struct Input {
    std::string path;
    std::string purpose;  ///< "model", "encoder", "adapter:chat", ...
    std::uint64_t size = 0;
    std::string identity;  ///< as it was when work began
    std::string sha256;
  };

  void add_inputs(const std::vector<std::string>& files, const std::string& purpose);
  [[nodiscard]] Value statement() const;

  const Assembly& assembly_;
  Value recipe_;
  std::vector<Input> inputs_;
};

}  // namespace d2c::host
