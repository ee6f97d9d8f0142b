// Working memory of concurrent `process` calls, kept for the next call instead of freed.
#pragma once

#include "plugins/quant_palettize4/assign.hpp"
#include "plugins/quant_palettize4/distribution.hpp"
#include "plugins/quant_palettize4/solver.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <vector>

namespace d2c::palettize4 {

inline constexpr std::size_t kChunk = 4096;  // values between assigning and packing; stays in the first-level cache

/// What is asked of the solver.
struct Solving {
  int bits = 4;
  double allowance = 0;  ///< as Solver::solve takes it

  [[nodiscard]] std::size_t entries() const noexcept { return std::size_t{1} << bits; }
};

struct Scratch {
  Histogram histogram;
  Distribution distribution;
  Solver solver;
  Assigner assigner;
  std::array<std::uint8_t, kChunk> indices;
  std::array<float, kChunk> values;

  /// Memory held for groups of `values` values and palettes of `entries` entries.
  [[nodiscard]] static std::size_t bytes(std::size_t values, std::size_t entries) noexcept {
    const std::size_t distinct = std::min(values, kDistinctFinite);
    return sizeof(Scratch) + Histogram::kBytes + Distribution::bytes(distinct) + Solver::bytes(distinct) +
           Assigner::bytes(entries);
  }
};

class ScratchPool {
 public:
  /// Hands out a Scratch of its own to each caller; it comes back when the pointer dies.
  [[nodiscard]] auto take() {
    const auto give_back = [this](Scratch* s) {
      std::unique_ptr<Scratch> owned(s);
      const std::lock_guard lock(mutex_);
      idle_.push_back(std::move(owned));
    };
    return std::unique_ptr<Scratch, decltype(give_back)>(idle_or_new().release(), give_back);
  }

 private:
  std::unique_ptr<Scratch> idle_or_new() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) {
      idle_.reserve(idle_.capacity() + 1);
      return std::make_unique<Scratch>();
    }
    auto last = std::move(idle_.back());
    idle_.pop_back();
    return last;
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> idle_;
};

}  // namespace d2c::palettize4
