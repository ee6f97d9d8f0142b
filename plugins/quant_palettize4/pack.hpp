// Packs palette indices into Core ML's sub-byte form: one bit stream, least significant bit first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace d2c::palettize4 {

/// Packs `count` indices of `bits` (1, 2, 3, 4, 6 or 8) bits each; `count` is a multiple of 8, so that the result,
/// count * bits / 8 bytes, ends with a whole byte.
void pack_indices(int bits, const std::uint8_t* indices, std::size_t count, std::uint8_t* out);

/// Appends runs of any length to one stream.
class IndexStream {
 public:
  IndexStream(int bits, void* out) : bits_(bits), out_(static_cast<std::uint8_t*>(out)) {}

  void append(std::span<const std::uint8_t> indices);
  /// Writes what is left, unused bits zero. Must be the last call.
  void finish();

 private:
  static constexpr std::size_t kUnit = 8;  // indices that always fill whole bytes

  void write(const std::uint8_t* indices, std::size_t count);

  int bits_;
  std::uint8_t* out_;
  std::array<std::uint8_t, kUnit> pending_{};
  std::size_t pending_count_ = 0;
};

}  // namespace d2c::palettize4
