// Levels as Core ML stores them: four bits to a nibble, the first one low, without a gap between rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace d2c::linear {

class LevelStream {
 public:
  /// `is_signed`: the middle level is stored as zero, in two's complement.
  LevelStream(int bits, bool is_signed, void* out) noexcept;

  void append(std::span<const std::uint8_t> levels);

  /// Writes the half byte that may be left. Must be the last call.
  void finish();

 private:
  void append_bytes(std::span<const std::uint8_t> levels);
  void append_nibbles(std::span<const std::uint8_t> levels);

  int bits_;
  std::uint8_t sign_;  // flips the highest bit of signed levels
  std::uint8_t* out_;
  std::uint8_t pending_ = 0;
  bool has_pending_ = false;
};

}  // namespace d2c::linear
