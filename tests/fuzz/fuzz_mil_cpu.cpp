// Any bytes as a package's program and weight file: an error, or a runner whose functions can be called; never a crash and
// never a read outside the file. The input is the length of weight.bin (2 bytes, little-endian), weight.bin, then
// model.mlmodel: the same as fuzz_mlpackage takes.
#include "libs/mil_cpu/runner.hpp"

#include <d2c/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// A mutated program can ask for more work than a fuzzer should wait for.
constexpr std::int64_t kMostScratch = 1 << 16;

constexpr std::string_view kManifest =
    R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "m", "itemInfoEntries": {
  "m": {"path": "com.apple.CoreML/model.mlmodel", "name": "model.mlmodel", "author": "com.apple.CoreML", "description": ""},
  "w": {"path": "com.apple.CoreML/weights", "name": "weights", "author": "com.apple.CoreML", "description": ""}}})";

void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// A package whose manifest is sound; made once and removed at exit.
struct Package {
  fs::path root = fs::temp_directory_path() / ("d2c_fuzz_run_" + std::to_string(::getpid()) + ".mlpackage");
  fs::path model = root / "Data/com.apple.CoreML/model.mlmodel";
  fs::path weights = root / "Data/com.apple.CoreML/weights/weight.bin";

  Package() {
    fs::create_directories(weights.parent_path());
    write(root / "Manifest.json", kManifest);
  }
  ~Package() {
    std::error_code error;
    fs::remove_all(root, error);
  }
};

/// Calls every function once, with the input's own bytes as arguments.
void call_all(d2c::Runner& runner, std::string_view source) {
  const auto state = runner.make_state();
  for (const d2c::Signature& s : runner.signatures()) {
    if (runner.describe().at("scratch_bytes").at(s.function).as_int() > kMostScratch) continue;
    std::vector<std::vector<std::byte>> memory;
    std::vector<d2c::Buffer> inputs, outputs;
    const auto add = [&](const d2c::Feature& f, std::vector<d2c::Buffer>& to) {
      auto& bytes = memory.emplace_back(static_cast<std::size_t>(f.type.bytes()));
      for (std::size_t i = 0; i < bytes.size() && i < source.size(); ++i)
        bytes[i] = static_cast<std::byte>(source[i] & 3);
      to.push_back({f.name, bytes});
    };
    for (const d2c::Feature& f : s.inputs) add(f, inputs);
    for (const d2c::Feature& f : s.outputs) add(f, outputs);
    try {
      runner.call(s.function, state.get(), inputs, outputs);
    } catch (const d2c::Error&) {
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Package package;
  if (size < 2) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t weight_bytes = std::min<std::size_t>(data[0] | data[1] << 8, rest.size());
  write(package.weights, rest.substr(0, weight_bytes));
  write(package.model, rest.substr(weight_bytes));
  try {
    d2c::mil_cpu::RunnerOptions options;
    options.threads = 1;
    for (const bool fuse : {false, true}) {
      options.fuse = fuse;
      const auto runner = d2c::mil_cpu::open_runner(package.root, options);
      if (runner->describe().at("state_bytes").as_int() <= kMostScratch) call_all(*runner, rest);
    }
  } catch (const d2c::Error&) {
  }
  return 0;
}
