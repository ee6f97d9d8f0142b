#include "plugins/quant_palettize4/pack.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/quant_palettize4/pack.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace d2c::palettize4::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Two indices to a byte. `count` is even.
void pack_nibbles(const std::uint8_t* indices, std::size_t count, std::uint8_t* out) {
  const hn::ScalableTag<std::uint16_t> d;
  const hn::Rebind<std::uint8_t, decltype(d)> d8;
  const std::size_t pairs = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + 2 * pairs <= count; i += 2 * pairs) {
    const auto two = hn::LoadU(d, reinterpret_cast<const std::uint16_t*>(indices + i));
    hn::StoreU(hn::TruncateTo(d8, hn::Or(two, hn::ShiftRight<4>(two))), d8, out + i / 2);
  }
  for (; i < count; i += 2) out[i / 2] = static_cast<std::uint8_t>(indices[i] | indices[i + 1] << 4);
}

}  // namespace
}  // namespace d2c::palettize4::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::palettize4 {
namespace {

HWY_EXPORT(pack_nibbles);

static_assert(std::endian::native == std::endian::little, "eight indices are packed as one little-endian word");

/// Packs eight indices, the bytes of a word, into its low 8 * kBits bits by joining neighbours three times over.
template <int kBits>
std::uint64_t join_eight(std::uint64_t word) noexcept {
  const auto join = [&word](int lane, int used, std::uint64_t low_halves) {
    word = (word & low_halves) | (word >> (lane - used) & (low_halves << used));
  };
  constexpr auto ones = [](int count) { return (std::uint64_t{1} << count) - 1; };
  join(8, kBits, ones(kBits) * 0x0001'0001'0001'0001u);
  join(16, 2 * kBits, ones(2 * kBits) * 0x0000'0001'0000'0001u);
  join(32, 4 * kBits, ones(4 * kBits));
  return word;
}

template <int kBits>
void pack_eights(const std::uint8_t* indices, std::size_t count, std::uint8_t* out) {
  for (std::size_t i = 0; i < count; i += 8, out += kBits) {
    std::uint64_t word = 0;
    std::memcpy(&word, indices + i, sizeof word);
    word = join_eight<kBits>(word);
    std::memcpy(out, &word, kBits);
  }
}

}  // namespace

void pack_indices(int bits, const std::uint8_t* indices, std::size_t count, std::uint8_t* out) {
  switch (bits) {
    case 1: return pack_eights<1>(indices, count, out);
    case 2: return pack_eights<2>(indices, count, out);
    case 3: return pack_eights<3>(indices, count, out);
    case 4: return HWY_DYNAMIC_DISPATCH(pack_nibbles)(indices, count, out);
    case 6: return pack_eights<6>(indices, count, out);
    default: std::memcpy(out, indices, count);
  }
}

void IndexStream::write(const std::uint8_t* indices, std::size_t count) {
  pack_indices(bits_, indices, count, out_);
  out_ += count * static_cast<std::size_t>(bits_) / 8;
}

void IndexStream::append(std::span<const std::uint8_t> indices) {
  if (pending_count_ != 0) {
    const std::size_t taken = std::min(kUnit - pending_count_, indices.size());
    std::copy_n(indices.begin(), taken, pending_.begin() + static_cast<std::ptrdiff_t>(pending_count_));
    pending_count_ += taken;
    indices = indices.subspan(taken);
    if (pending_count_ < kUnit) return;
    write(pending_.data(), kUnit);
    pending_count_ = 0;
  }
  const std::size_t whole = indices.size() / kUnit * kUnit;
  if (whole != 0) write(indices.data(), whole);
  pending_count_ = indices.size() - whole;
  std::copy_n(indices.begin() + static_cast<std::ptrdiff_t>(whole), pending_count_, pending_.begin());
}

void IndexStream::finish() {
  std::array<std::uint8_t, kUnit> last{};
  std::copy_n(pending_.begin(), pending_count_, last.begin());
  std::array<std::uint8_t, kUnit> bytes{};
  pack_indices(bits_, last.data(), kUnit, bytes.data());
  std::memcpy(out_, bytes.data(), (pending_count_ * static_cast<std::size_t>(bits_) + 7) / 8);
}

}  // namespace d2c::palettize4
#endif
