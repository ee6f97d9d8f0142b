// A function ready to run: a list of steps over one arena whose places were decided when it was compiled.
//
// Numbers are held in 32 bits while a function runs: floating point as float, integers and booleans as int32. Where the
// program says fp16 they are rounded to it only on request (Precision::fp16) and where they are stored: in states and
// outputs.
#pragma once

#include "libs/mil_cpu/program.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace d2c::kernels {
class ThreadPool;
}

namespace d2c::mil_cpu {

enum class Precision {
  fp32,  ///< computes in fp32: the reference
  fp16,  ///< rounds the result of every fp16 op
  fast,  ///< activations and palettes of 8 bits, of 13 for many tokens: approximate
};

struct CompileOptions {
  Precision precision = Precision::fp32;
  unsigned threads = 1;  ///< of the pool that steps will run on
  bool fuse = true;      ///< false: every op by itself, the state copied; what fused steps are tested against
};

/// The bytes of one session's states, in the order of the package's list of states.
struct StateBytes {
  std::byte* data = nullptr;
  std::size_t size = 0;
};

/// What a running step sees.
struct Frame {
  std::byte* arena = nullptr;
  std::vector<StateBytes> states;
  kernels::ThreadPool* pool = nullptr;
};

using Step = std::function<void(Frame&)>;

/// A place for `count` 32-bit numbers: in the arena, or constant.
struct Place {
  std::size_t offset = 0;  ///< in the arena, bytes
  std::shared_ptr<const std::vector<std::uint32_t>> constant;

  [[nodiscard]] const float* reals(const Frame& f) const noexcept { return static_cast<const float*>(at(f)); }
  [[nodiscard]] const std::int32_t* integers(const Frame& f) const noexcept {
    return static_cast<const std::int32_t*>(at(f));
  }
  [[nodiscard]] float* reals_out(Frame& f) const noexcept { return reinterpret_cast<float*>(f.arena + offset); }
  [[nodiscard]] std::int32_t* integers_out(Frame& f) const noexcept {
    return reinterpret_cast<std::int32_t*>(f.arena + offset);
  }

 private:
  [[nodiscard]] const void* at(const Frame& f) const noexcept {
    return constant ? static_cast<const void*>(constant->data()) : f.arena + offset;
  }
};

struct PlannedFeature {
  Feature feature;
  std::shared_ptr<const Place> place;
};

struct Plan {
  std::string function;
  std::vector<PlannedFeature> inputs, outputs;
  std::vector<Step> steps;
  std::size_t arena_bytes = 0;
};

/// Compiles a function. `states` names the package's states; every state of the function is one of them.
/// Error(input) names the op that is unknown or whose operands are not what it takes.
[[nodiscard]] Plan compile(const Function& function, const std::vector<Feature>& states, const CompileOptions& options,
                           const std::string& where);

}  // namespace d2c::mil_cpu
