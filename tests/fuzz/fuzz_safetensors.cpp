// Any bytes, taken as the whole of a safetensors file, are refused with Error(input) or described exactly.
#include "libs/safetensors/safetensors.hpp"

#include <d2c/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    std::uint64_t covered = d2c::safetensors::header_size(std::as_bytes(std::span(data, size)), size, "input");
    for (const auto& tensor :
         d2c::safetensors::parse_header(std::as_bytes(std::span(data, size)), size, "input").tensors) {
      if (tensor.offset != covered) std::abort();
      covered += tensor.size;
    }
    if (covered != size) std::abort();
  } catch (const d2c::Error& e) {
    if (e.code() != d2c::Code::input) std::abort();
  }
  return 0;
}
