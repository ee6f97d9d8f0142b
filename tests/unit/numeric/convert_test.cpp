#include "libs/numeric/convert.hpp"

#include <d2c/error.hpp>
#include <d2c/half.hpp>

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace d2c::numeric {
namespace {

std::vector<std::uint16_t> every_pattern() {
  std::vector<std::uint16_t> bits(65536);
  std::iota(bits.begin(), bits.end(), std::uint16_t{0});
  return bits;
}

/// Every fp16 value, the points halfway between neighbours and the floats next to those, and random bit patterns.
std::vector<float> many_floats() {
  std::vector<float> floats;
  for (unsigned h = 0; h < 0x7c00u; ++h) {
    const float low = d2c::half_to_float(static_cast<std::uint16_t>(h));
    const float high = h == 0x7bffu ? 65536.f : d2c::half_to_float(static_cast<std::uint16_t>(h + 1));
    const float middle = (low + high) / 2;
    for (const float f : {low, middle, std::nextafter(middle, 0.f), std::nextafter(middle, 1e6f)}) {
      floats.push_back(f);
      floats.push_back(-f);
    }
  }
  std::mt19937 random(7);
  for (int i = 0; i < 1 << 20; ++i) floats.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  for (const float f : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(),
                        std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max()})
    floats.push_back(f);
  return floats;
}

RoundingStats expected_stats(const std::vector<float>& in) {
  RoundingStats s;
  for (const float f : in) {
    const float back = d2c::half_to_float(d2c::float_to_half(f));
    s.nonfinite += !std::isfinite(f);
    s.overflowed += std::isfinite(f) && std::isinf(back);
    s.underflowed += f != 0 && back == 0;
    s.subnormal += back != 0 && std::abs(back) < 0x1p-14f;
  }
  return s;
}

/// Runs every test once per instruction set that this machine has.
class Conversion : public testing::TestWithParam<std::int64_t> {
 protected:
  Conversion() { hwy::SetSupportedTargetsForTest(GetParam()); }
  ~Conversion() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(Conversion, WidensEveryHalfToItsExactValue) {
  const auto in = every_pattern();
  std::vector<float> out(in.size());
  to_float(DType::f16, in.data(), in.size(), out.data());
  for (const std::uint16_t h : in)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(out[h]), std::bit_cast<std::uint32_t>(d2c::half_to_float(h))) << h;
}

TEST_P(Conversion, WidensEveryBfloatToItsExactValue) {
  const auto in = every_pattern();
  std::vector<float> out(in.size());
  to_float(DType::bf16, in.data(), in.size(), out.data());
  for (const std::uint16_t b : in)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(out[b]), std::bit_cast<std::uint32_t>(d2c::bf16_to_float(b))) << b;
}

TEST_P(Conversion, RoundsEveryBfloatToTheNearestHalf) {
  const auto in = every_pattern();
  std::vector<float> floats;
  for (const std::uint16_t b : in) floats.push_back(d2c::bf16_to_float(b));
  std::vector<std::uint16_t> out(in.size());
  const RoundingStats stats = bf16_to_half(in.data(), in.size(), out.data());
  for (const std::uint16_t b : in) ASSERT_EQ(out[b], d2c::float_to_half(floats[b])) << b;
  EXPECT_EQ(stats, expected_stats(floats));
}

TEST_P(Conversion, RoundsBfloatsInPlace) {
  auto values = every_pattern();
  bf16_to_half(values.data(), values.size(), values.data());
  for (unsigned b = 0; b < 65536; ++b)
    ASSERT_EQ(values[b], d2c::float_to_half(d2c::bf16_to_float(static_cast<std::uint16_t>(b)))) << b;
}

TEST_P(Conversion, RoundsFloatsToTheNearestHalfAndTiesToEven) {
  const auto in = many_floats();
  std::vector<std::uint16_t> out(in.size());
  const RoundingStats stats = float_to_half(in.data(), in.size(), out.data());
  for (std::size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i], d2c::float_to_half(in[i])) << in[i];
  EXPECT_EQ(stats, expected_stats(in));
}

TEST_P(Conversion, TreatsTheTailLikeTheRest) {
  const auto all = many_floats();
  for (std::size_t count = 0; count < 70; ++count) {
    const std::vector<float> in(all.end() - static_cast<std::ptrdiff_t>(count), all.end());
    std::vector<std::uint16_t> out(count + 1, 0x1234);
    EXPECT_EQ(float_to_half(in.data(), count, out.data()), expected_stats(in));
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(out[i], d2c::float_to_half(in[i]));
    ASSERT_EQ(out[count], 0x1234);
  }
}

INSTANTIATE_TEST_SUITE_P(EachTarget, Conversion, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& tested) { return std::string(hwy::TargetName(tested.param)); });

TEST(ToFloat, CopiesFp32) {
  const std::vector<float> in{1.5f, -0.f, 3e38f};
  std::vector<float> out(3);
  to_float(DType::f32, in.data(), in.size(), out.data());
  EXPECT_EQ(in, out);
}

TEST(ToFloat, RefusesOtherTypesByName) {
  float out = 0;
  try {
    to_float(DType::i8, &out, 1, &out);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input);
    EXPECT_NE(std::string(e.what()).find("int8"), std::string::npos);
  }
}

}  // namespace
}  // namespace d2c::numeric
