// Boxes of a tensor whose place may only be known while running.
#pragma once

#include "libs/mil_cpu/compiler.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace d2c::mil_cpu {

struct Box {
  Shape begin, size;
};

/// Error(input) where the box leaves the tensor.
[[nodiscard]] Box box_at(const std::int32_t* begin, const Shape& size, const Shape& extents, const std::string& where);

/// Calls run(offset in the tensor, offset in the box, count) for every run of consecutive elements.
template <class Run>
void for_each_run(const Shape& extents, const Box& box, Run&& run) {
  const std::size_t rank = extents.size();
  if (rank == 0) return run(std::int64_t{0}, std::int64_t{0}, std::int64_t{1});
  const Shape strides = broadcast_strides(extents, extents);
  std::int64_t at = 0, done = 0, left = 1;
  for (std::size_t a = 0; a < rank; ++a) {
    at += box.begin[a] * strides[a];
    if (a + 1 < rank) left *= box.size[a];
  }
  Shape index(rank - 1, 0);
  for (; left > 0; --left, done += box.size.back()) {
    run(at, done, box.size.back());
    for (std::size_t a = rank - 1; a-- > 0;) {
      at += strides[a];
      if (++index[a] < box.size[a]) break;
      at -= strides[a] * box.size[a];
      index[a] = 0;
    }
  }
}

void read_box(const std::int32_t* tensor, const Shape& extents, const Box& box, std::int32_t* out);
void write_box(const std::int32_t* values, const Shape& extents, const Box& box, std::int32_t* tensor);

/// The parameters of a slice_update.
struct SliceUpdate {
  std::shared_ptr<const Place> begin, end;
  std::vector<bool> from_start, to_end;
  Shape size, extents;
  std::string where;

  /// Where it writes; Error(input) where that does not lie in the tensor or does not have the update's size.
  [[nodiscard]] Box box(const Frame& f) const;
};

[[nodiscard]] SliceUpdate slice_update(Op& op);

}  // namespace d2c::mil_cpu
