// Opens arbitrary bytes as a GGUF file and views every tensor: anything but a d2c::Error is a bug.
#include "plugins/source_gguf/gguf_source.hpp"

#include <d2c/error.hpp>
#include <d2c/plugin.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace {

const d2c_host kSilentHost{sizeof(d2c_host), nullptr, [](void*, d2c_log_level, const char*) {},
                           [](void*, d2c_code code, const char*) { return code; },
                           [](void*) { return std::int32_t{0}; }};

void view_all(const d2c::source_gguf::GgufSource& source) {
  for (std::size_t t = 0; t < source.tensors().size(); ++t) {
    try {
      (void)source.view(t, 0, d2c::rows_of(source.tensors()[t].type.shape));
    } catch (const d2c::Error&) {
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto bytes = std::as_bytes(std::span(data, size));
    view_all({d2c::Host(kSilentHost), std::make_unique<d2c::source_gguf::MemoryBytes>("input", bytes)});
  } catch (const d2c::Error&) {
  }
  return 0;
}
