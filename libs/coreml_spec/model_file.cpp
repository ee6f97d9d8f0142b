#include "libs/coreml_spec/model_file.hpp"

#include <d2c/error.hpp>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <fstream>
#include <limits>

namespace d2c::coreml {
namespace {

// A protobuf of n bytes can unfold into many times n in memory. Programs of 70B models stay far below this.
constexpr std::uintmax_t kMaxModelBytes = 64u << 20;

std::string read_whole(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) fail_input(path.string() + ": no such model file");
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) fail_input(path.string() + ": cannot be read: " + error.message());
  if (size > kMaxModelBytes)
    fail_input(path.string() + ": " + std::to_string(size) + " bytes; a program of more than " +
               std::to_string(kMaxModelBytes) + " is not read (are weights stored in it?)");
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) fail_input(path.string() + ": cannot be read");
  return bytes;
}

}  // namespace

spec::Model parse_model(const std::filesystem::path& path) {
  const std::string bytes = read_whole(path);
  spec::Model model;
  // The library reports bad UTF-8 on stderr, which is not a plugin's to write to; the result says enough.
  const google::protobuf::LogSilencer silence;
  if (!model.ParseFromString(bytes)) fail_input(path.string() + ": is no Core ML model (malformed protobuf)");
  if (!model.has_program()) fail_input(path.string() + ": is a Core ML model of another kind, not an ML program");
  return model;
}

std::string serialize_model(const spec::Model& model) {
  const std::size_t size = model.ByteSizeLong();
  if (size > std::numeric_limits<std::int32_t>::max())
    fail(Code::plugin, "the program would take " + std::to_string(size) + " bytes; protobuf ends at 2 GiB");
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  if (!model.SerializeToCodedStream(&coded)) fail(Code::plugin, "the program could not be serialized");
  coded.Trim();
  return bytes;
}

}  // namespace d2c::coreml
