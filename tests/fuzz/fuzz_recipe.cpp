// Any bytes as a recipe: an error, or a document that merged with itself is still a valid one; never a crash.
#include "host/recipe/check.hpp"
#include "host/recipe/document.hpp"
#include "host/recipe/layers.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    d2c::host::Node document = d2c::host::parse_document(text, "fuzz.toml");
    d2c::host::check_document(document);
    d2c::host::merge_document(document, document);
    d2c::host::check_document(document);
  } catch (const d2c::Error&) {
  }
  return 0;
}
