#include "libs/digest/sha256.hpp"

#include <d2c/error.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace d2c {

std::string sha256_of(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.finish();
}

std::string sha256_of_file(const std::string& path, const std::function<void(std::size_t)>& each_block) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) fail_input(path + ": " + std::strerror(errno));
  Sha256 hash;
  std::vector<std::byte> block(1u << 20);
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), file.get())) {
    hash.update({block.data(), n});
    if (each_block) each_block(n);
  }
  if (std::ferror(file.get()) != 0) fail_input(path + ": read error: " + std::strerror(errno));
  return hash.finish();
}

}  // namespace d2c
