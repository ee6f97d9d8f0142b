#include "plugins/quant_linear/level_stream.hpp"

#include <algorithm>

namespace d2c::linear {

LevelStream::LevelStream(int bits, bool is_signed, void* out) noexcept
    : bits_(bits),
      sign_(static_cast<std::uint8_t>(is_signed ? 1 << (bits - 1) : 0)),
      out_(static_cast<std::uint8_t*>(out)) {}

void LevelStream::append(std::span<const std::uint8_t> levels) {
  if (bits_ == 8) append_bytes(levels);
  else append_nibbles(levels);
}

void LevelStream::append_bytes(std::span<const std::uint8_t> levels) {
  const std::uint8_t sign = sign_;
  out_ = std::transform(levels.begin(), levels.end(), out_,
                        [sign](std::uint8_t level) { return static_cast<std::uint8_t>(level ^ sign); });
}

void LevelStream::append_nibbles(std::span<const std::uint8_t> levels) {
  const auto join = [sign = sign_ * 0x11](unsigned low, unsigned high) {
    return static_cast<std::uint8_t>((low | high << 4) ^ static_cast<unsigned>(sign));
  };
  if (has_pending_ && !levels.empty()) {
    *out_++ = join(pending_, levels.front());
    levels = levels.subspan(1);
    has_pending_ = false;
  }
  const std::size_t pairs = levels.size() / 2;
  for (std::size_t i = 0; i < pairs; ++i) out_[i] = join(levels[2 * i], levels[2 * i + 1]);
  out_ += pairs;
  if (levels.size() % 2 != 0) {
    pending_ = levels.back();
    has_pending_ = true;
  }
}

void LevelStream::finish() {
  if (has_pending_) *out_ = static_cast<std::uint8_t>(pending_ ^ sign_);
}

}  // namespace d2c::linear
