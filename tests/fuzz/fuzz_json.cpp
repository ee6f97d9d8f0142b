// Any bytes as JSON: an error, or a value whose text parses to the same value again; never a crash.
#include "libs/json/json.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const d2c::Value value = d2c::json::parse({reinterpret_cast<const char*>(data), size}, "fuzz.json");
    if (d2c::json::parse(d2c::json::dump(value), "again") != value) std::abort();
  } catch (const d2c::Error&) {
  }
  return 0;
}
