#include "libs/mil_cpu/memory.hpp"

#include <d2c/error.hpp>

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace d2c::mil_cpu {

ZeroedMemory::ZeroedMemory(std::size_t size, const std::string& what) {
  if (size == 0) return;
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    fail(Code::resource, what + ": " + std::to_string(size) + " bytes are not to be had: " + std::strerror(errno));
  bytes_ = {static_cast<std::byte*>(data), size};
}

ZeroedMemory::~ZeroedMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace d2c::mil_cpu
