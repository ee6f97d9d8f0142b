// The inner loop of the merge: W += B * A for a few rows of W and a small inner dimension.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace d2c::lora {

/// A [rank, columns], rearranged once so that the inner loop reads it in order.
class PackedFactor {
 public:
  PackedFactor(std::span<const float> a, std::int64_t rank, std::int64_t columns);

  /// w [rows, columns] += b [rows, rank] * A, all row-major. Thread-safe.
  ///
  /// Every element is w + ((b0*a0 + b1*a1) + b2*a2 ...), each operation rounded to fp32: the same bits for any tiling,
  /// any number of threads and any instruction set.
  void add_product(const float* b, std::int64_t rows, float* w) const;

 private:
  void add_rows(const float* b, std::int64_t rows, float* w) const;

  std::int64_t rank_;
  std::int64_t columns_;
  std::vector<float> panels_;  // [columns / panel width, rank, panel width], the last one padded with zeros
};

}  // namespace d2c::lora
