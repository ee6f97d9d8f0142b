#include "plugins/source_gguf/block_format.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

// The order of the fp32 operations is part of each format: d * sc is rounded before it meets q, the minimum is
// subtracted last. The file is compiled without contraction to fused operations.
namespace d2c::source_gguf {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF data is little-endian and used in place");

using Byte = std::uint8_t;

float half_at(const Byte* p) noexcept {
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return half_to_float(bits);
}

template <int kElements, int kBytes, void (*kBlock)(const Byte*, float*)>
void each_block(const std::byte* blocks, std::size_t count, float* out) {
  const auto* block = reinterpret_cast<const Byte*>(blocks);
  for (; count > 0; --count, block += kBytes, out += kElements) kBlock(block, out);
}

constexpr int kHalfBlock = 16;

void q4_0(const Byte* block, float* out) {
  const float d = half_at(block);
  const Byte* q = block + 2;
  for (int j = 0; j < kHalfBlock; ++j) {
    out[j] = static_cast<float>((q[j] & 15) - 8) * d;
    out[j + kHalfBlock] = static_cast<float>((q[j] >> 4) - 8) * d;
  }
}

void q4_1(const Byte* block, float* out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  const Byte* q = block + 4;
  for (int j = 0; j < kHalfBlock; ++j) {
    out[j] = static_cast<float>(q[j] & 15) * d + m;
    out[j + kHalfBlock] = static_cast<float>(q[j] >> 4) * d + m;
  }
}

/// The 32 five-bit codes of a block: low nibbles and, bit j of four little-endian bytes for code j, the fifth bits.
std::array<int, 2 * kHalfBlock> five_bit_codes(const Byte* fifth_bits, const Byte* nibbles) {
  std::uint32_t high;
  std::memcpy(&high, fifth_bits, sizeof high);
  std::array<int, 2 * kHalfBlock> codes;
  for (int j = 0; j < kHalfBlock; ++j) {
    const bool low_half = (high & (1u << j)) != 0;
    const bool high_half = (high & (0x10000u << j)) != 0;
    codes[j] = (nibbles[j] & 15) + (low_half ? 16 : 0);
    codes[j + kHalfBlock] = (nibbles[j] >> 4) + (high_half ? 16 : 0);
  }
  return codes;
}

void q5_0(const Byte* block, float* out) {
  const float d = half_at(block);
  const auto q = five_bit_codes(block + 2, block + 6);
  for (std::size_t j = 0; j < q.size(); ++j) out[j] = static_cast<float>(q[j] - 16) * d;
}

void q5_1(const Byte* block, float* out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  const auto q = five_bit_codes(block + 4, block + 8);
  for (std::size_t j = 0; j < q.size(); ++j) out[j] = static_cast<float>(q[j]) * d + m;
}

void q8_0(const Byte* block, float* out) {
  const float d = half_at(block);
  const Byte* q = block + 2;
  for (int j = 0; j < 2 * kHalfBlock; ++j) out[j] = static_cast<float>(static_cast<std::int8_t>(q[j])) * d;
}

constexpr int kSuperBlock = 256;
constexpr int kSubBlock = 32;
constexpr int kSubBlocks = kSuperBlock / kSubBlock;
constexpr int kPackedScales = 12;

struct SubBlockScale {
  float scale, minimum;
};

/// Eight 6-bit scales and eight 6-bit minimums in 12 bytes: four of each in the low six bits of bytes 0..7, the
/// others in the nibbles of bytes 8..11 with their top two bits in the top of bytes 0..7.
std::array<SubBlockScale, kSubBlocks> unpack_scales(const Byte* packed, float d, float dmin) {
  std::array<SubBlockScale, kSubBlocks> scales;
  for (int j = 0; j < 4; ++j) {
    const int scale = (packed[j + 8] & 15) | ((packed[j] >> 6) << 4);
    const int minimum = (packed[j + 8] >> 4) | ((packed[j + 4] >> 6) << 4);
    scales[j] = {d * static_cast<float>(packed[j] & 63), dmin * static_cast<float>(packed[j + 4] & 63)};
    scales[j + 4] = {d * static_cast<float>(scale), dmin * static_cast<float>(minimum)};
  }
  return scales;
}

void q4_k(const Byte* block, float* out) {
  const auto scales = unpack_scales(block + 4, half_at(block), half_at(block + 2));
  const Byte* q = block + 4 + kPackedScales;
  for (int s = 0; s < kSubBlocks; s += 2, q += kSubBlock, out += 2 * kSubBlock) {
    for (int j = 0; j < kSubBlock; ++j) {
      out[j] = scales[s].scale * static_cast<float>(q[j] & 15) - scales[s].minimum;
      out[j + kSubBlock] = scales[s + 1].scale * static_cast<float>(q[j] >> 4) - scales[s + 1].minimum;
    }
  }
}

void q5_k(const Byte* block, float* out) {
  const auto scales = unpack_scales(block + 4, half_at(block), half_at(block + 2));
  const Byte* high = block + 4 + kPackedScales;
  const Byte* q = high + kSubBlock;
  for (int s = 0; s < kSubBlocks; s += 2, q += kSubBlock, out += 2 * kSubBlock) {
    for (int j = 0; j < kSubBlock; ++j) {
      const int even = (q[j] & 15) | (((high[j] >> s) & 1) << 4);
      const int odd = (q[j] >> 4) | (((high[j] >> (s + 1)) & 1) << 4);
      out[j] = scales[s].scale * static_cast<float>(even) - scales[s].minimum;
      out[j + kSubBlock] = scales[s + 1].scale * static_cast<float>(odd) - scales[s + 1].minimum;
    }
  }
}

void q6_k_sub_block(const Byte* low, int low_shift, const Byte* high, int high_shift, const float* scales, float* out) {
  std::array<int, kSubBlock> codes;
  for (int j = 0; j < kSubBlock; ++j) codes[j] = ((low[j] >> low_shift) & 15) | (((high[j] >> high_shift) & 3) << 4);
  for (int j = 0; j < kHalfBlock; ++j) {
    out[j] = scales[0] * static_cast<float>(codes[j] - 32);
    out[j + kHalfBlock] = scales[1] * static_cast<float>(codes[j + kHalfBlock] - 32);
  }
}

void q6_k(const Byte* block, float* out) {
  const Byte* low = block;
  const Byte* high = low + kSuperBlock / 2;
  const Byte* packed = high + kSuperBlock / 4;
  const float d = half_at(packed + kSuperBlock / kHalfBlock);
  std::array<float, kSuperBlock / kHalfBlock> scales;
  for (std::size_t j = 0; j < scales.size(); ++j)
    scales[j] = d * static_cast<float>(static_cast<std::int8_t>(packed[j]));
  for (int s = 0; s < kSubBlocks; ++s) {
    const int half = s / 4, part = s % 4;
    q6_k_sub_block(low + 64 * half + kSubBlock * (part % 2), 4 * (part / 2), high + kSubBlock * half, 2 * part,
                   &scales[2 * s], out + kSubBlock * s);
  }
}

constexpr BlockFormat kFormats[] = {
    {0, "F32", 1, 4, DType::f32, nullptr},
    {1, "F16", 1, 2, DType::f16, nullptr},
    {30, "BF16", 1, 2, DType::bf16, nullptr},
    {2, "Q4_0", 32, 18, DType::f16, each_block<32, 18, q4_0>},
    {3, "Q4_1", 32, 20, DType::f16, each_block<32, 20, q4_1>},
    {6, "Q5_0", 32, 22, DType::f16, each_block<32, 22, q5_0>},
    {7, "Q5_1", 32, 24, DType::f16, each_block<32, 24, q5_1>},
    {8, "Q8_0", 32, 34, DType::f16, each_block<32, 34, q8_0>},
    {12, "Q4_K", 256, 144, DType::f16, each_block<256, 144, q4_k>},
    {13, "Q5_K", 256, 176, DType::f16, each_block<256, 176, q5_k>},
    {14, "Q6_K", 256, 210, DType::f16, each_block<256, 210, q6_k>},
};

struct TypeName {
  std::uint32_t type;
  const char* name;
};

constexpr TypeName kUnsupported[] = {
    {9, "Q8_1"},   {10, "Q2_K"},   {11, "Q3_K"},  {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"}, {23, "IQ4_XS"},  {24, "I8"},     {25, "I16"},
    {26, "I32"},   {27, "I64"},    {28, "F64"},   {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"},  {39, "MXFP4"},
};

}  // namespace

std::span<const BlockFormat> block_formats() noexcept { return kFormats; }

const BlockFormat* find_block_format(std::uint32_t type) noexcept {
  const auto* found =
      std::find_if(std::begin(kFormats), std::end(kFormats), [type](const auto& f) { return f.type == type; });
  return found == std::end(kFormats) ? nullptr : found;
}

std::string ggml_type_name(std::uint32_t type) {
  if (const BlockFormat* format = find_block_format(type)) return format->name;
  for (const TypeName& t : kUnsupported)
    if (t.type == type) return t.name;
  return "type " + std::to_string(type);
}

}  // namespace d2c::source_gguf
