#include "tests/unit/tokenizer/tokenizer_files.hpp"

#include <fstream>
#include <iterator>

namespace d2c::tokenizer::testing {

Files files_of(const std::string& name) {
  Files files;
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"}) {
    std::ifstream in("tests/data/tokenizers/" + name + "/" + file, std::ios::binary);
    files[file] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  return files;
}

Tokenizer tokenizer_of(const std::string& name) { return Tokenizer::from_files(files_of(name)); }

}  // namespace d2c::tokenizer::testing
