// What determined a package: digests of every input, plugin and the recipe, and the files that travel with the weights.
#pragma once

#include "host/convert/assembly.hpp"
#include "host/convert/input_digest.hpp"
#include "host/executor/executor.hpp"
#include "host/recipe/recipe.hpp"

#include <string>
#include <vector>

namespace d2c::host {

class Provenance {
 public:
  Provenance(const Recipe& recipe, const Assembly& assembly);

  /// One for each input file: hashing it.
  [[nodiscard]] std::vector<Errand> errands();

  /// Error(input) where an input file is no longer the one that was opened.
  void check_unchanged() const;

  /// [{purpose, name, size, sha256}], once the errands are done.
  [[nodiscard]] Value inputs() const;

  /// Tokenizer files, recipe.json and provenance.json, sorted by name, once the errands are done. No paths of this
  /// machine and no times, so that equal inputs give equal bytes anywhere.
  [[nodiscard]] std::vector<Asset> attachments() const;

 private:
  struct Input {
    std::string path;
    std::string purpose;  ///< "model", "encoder", "adapter:chat", ...
    std::uint64_t size = 0;
    std::string identity;  ///< as it was when work began
    InputDigest digest;
  };

  void add_inputs(const std::vector<std::string>& files, const std::string& purpose);
  [[nodiscard]] Value statement() const;
  [[nodiscard]] std::vector<Asset> model_files() const;

  const Assembly& assembly_;
  Value recipe_;
  std::vector<Input> inputs_;
};

}  // namespace d2c::host
