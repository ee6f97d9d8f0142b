// Any bytes as a package's program and weight file: an error, or a runner whose functions can be called; never a crash and
// never a read outside the file.
#include "libs/mil_cpu/runner.hpp"
#include "tests/fuzz/package_input.hpp"

#include <d2c/error.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace {

/// A mutated program can ask for more work than a fuzzer should wait for.
constexpr std::int64_t kMostScratch = 1 << 16;

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
  static const d2c::fuzz::Package package;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (!package.fill(input)) return 0;
  try {
    d2c::mil_cpu::RunnerOptions options;
    options.threads = 1;
    for (const bool fuse : {false, true}) {
      options.fuse = fuse;
      const auto runner = d2c::mil_cpu::open_runner(package.root(), options);
      if (runner->describe().at("state_bytes").as_int() <= kMostScratch) call_all(*runner, input.substr(2));
    }
  } catch (const d2c::Error&) {
  }
  return 0;
}
