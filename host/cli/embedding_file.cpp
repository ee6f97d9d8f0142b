#include "host/cli/embedding_file.hpp"

#include "host/cli/output.hpp"
#include "libs/safetensors/writer.hpp"

#include <d2c/error.hpp>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace d2c::host::cli {
namespace {

/// Version 1.0 of the format: magic, the header's length, a Python literal padded to 64 bytes, the values.
std::string npy_header(std::int64_t count, std::int64_t width) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(count) + ", " +
                     std::to_string(width) + "), }";
  constexpr std::size_t kPrefix = 10;
  while ((kPrefix + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

void write_npy(const std::string& path, std::span<const float> values, std::int64_t count, std::int64_t width) {
  const std::string header = npy_header(count, width);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  out.close();
  if (!out) fail(Code::resource, path + ": cannot be written: " + std::generic_category().message(errno));
}

}  // namespace

void check_embedding_file(const std::string& path) {
  check_output_folder("--out", path);
  if (!path.empty() && !path.ends_with(".safetensors") && !path.ends_with(".npy"))
    fail_usage("--out " + path + ": the name must end in .safetensors or .npy");
}

void write_embeddings(const std::string& path, std::span<const float> values, std::int64_t count, std::int64_t width) {
  if (path.ends_with(".npy")) return write_npy(path, values, count, width);
  const safetensors::NamedTensor tensor{"embeddings", {DType::f32, {count, width}}, std::as_bytes(values)};
  safetensors::write_file(path, {&tensor, 1});
}

}  // namespace d2c::host::cli
