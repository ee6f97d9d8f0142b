#include "plugins/quant_palettize4/assign.hpp"

#include "plugins/quant_palettize4/half_order.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/quant_palettize4/assign.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace d2c::palettize4::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// index = number of borders below the value.
template <std::size_t kBorders>
void count_borders(const std::int16_t* borders, const std::uint16_t* values, std::size_t count, std::uint8_t* indices) {
  const hn::ScalableTag<std::int16_t> d;
  const hn::Rebind<std::uint8_t, decltype(d)> d8;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::LoadU(d, reinterpret_cast<const std::int16_t*>(values + i));
    const auto key = hn::Xor(bits, hn::And(hn::ShiftRight<15>(bits), hn::Set(d, 0x7fff)));
    auto index = hn::Zero(d);
    for (std::size_t b = 0; b < kBorders; ++b)
      index = hn::Sub(index, hn::VecFromMask(d, hn::Gt(key, hn::Set(d, borders[b]))));
    hn::StoreU(hn::DemoteTo(d8, index), d8, indices + i);
  }
  for (; i < count; ++i) {
    int index = 0;
    for (std::size_t b = 0; b < kBorders; ++b) index += order_key(values[i]) > borders[b];
    indices[i] = static_cast<std::uint8_t>(index);
  }
}

void assign_2(const std::int16_t* borders, const std::uint16_t* values, std::size_t count, std::uint8_t* indices) {
  count_borders<1>(borders, values, count, indices);
}
void assign_4(const std::int16_t* borders, const std::uint16_t* values, std::size_t count, std::uint8_t* indices) {
  count_borders<3>(borders, values, count, indices);
}
void assign_8(const std::int16_t* borders, const std::uint16_t* values, std::size_t count, std::uint8_t* indices) {
  count_borders<7>(borders, values, count, indices);
}
void assign_16(const std::int16_t* borders, const std::uint16_t* values, std::size_t count, std::uint8_t* indices) {
  count_borders<15>(borders, values, count, indices);
}

}  // namespace
}  // namespace d2c::palettize4::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::palettize4 {
namespace {

HWY_EXPORT(assign_2);
HWY_EXPORT(assign_4);
HWY_EXPORT(assign_8);
HWY_EXPORT(assign_16);

constexpr std::size_t kTableSize = 65536;

bool needs_table(std::size_t entries) noexcept { return entries > 16; }

/// order_key of the largest fp16 value that is at least as near to `lower` as to `upper`. Between equal entries there is
/// no border: everything stays with the lower index.
std::int16_t border_between(std::uint16_t lower, std::uint16_t upper) noexcept {
  if (lower == upper) return std::numeric_limits<std::int16_t>::max();
  const double middle = (static_cast<double>(half_to_float(lower)) + half_to_float(upper)) / 2;
  std::int16_t low = order_key(lower), high = order_key(upper);  // low is at or below the border, high above it
  while (high - low > 1) {
    const auto probe = static_cast<std::int16_t>(low + (high - low) / 2);
    (half_to_float(bits_of_key(probe)) <= middle ? low : high) = probe;
  }
  return low;
}

}  // namespace

void Assigner::set_palette(std::span<const std::uint16_t> entries) {
  borders_.resize(entries.size() - 1);
  for (std::size_t e = 0; e + 1 < entries.size(); ++e) borders_[e] = border_between(entries[e], entries[e + 1]);
  table_.resize(needs_table(entries.size()) ? kTableSize : 0);
  if (table_.empty()) return;

  // The keys of an entry are a range; so are its bits, of negative values in reverse.
  int first = std::numeric_limits<std::int16_t>::min();
  for (std::size_t e = 0; e < entries.size(); ++e) {
    const int last = e < borders_.size() ? borders_[e] : std::numeric_limits<std::int16_t>::max();
    for (int key = first; key <= last; ++key)
      table_[bits_of_key(static_cast<std::int16_t>(key))] = static_cast<std::uint8_t>(e);
    first = last + 1;
  }
}

void Assigner::assign(std::span<const std::uint16_t> values, std::uint8_t* indices) const {
  switch (borders_.size()) {
    case 1: return HWY_DYNAMIC_DISPATCH(assign_2)(borders_.data(), values.data(), values.size(), indices);
    case 3: return HWY_DYNAMIC_DISPATCH(assign_4)(borders_.data(), values.data(), values.size(), indices);
    case 7: return HWY_DYNAMIC_DISPATCH(assign_8)(borders_.data(), values.data(), values.size(), indices);
    case 15: return HWY_DYNAMIC_DISPATCH(assign_16)(borders_.data(), values.data(), values.size(), indices);
    default:
      for (std::size_t i = 0; i < values.size(); ++i) indices[i] = table_[values[i]];
  }
}

std::size_t Assigner::bytes(std::size_t entries) noexcept {
  return (entries - 1) * sizeof(std::int16_t) + (needs_table(entries) ? kTableSize : 0);
}

}  // namespace d2c::palettize4
#endif
