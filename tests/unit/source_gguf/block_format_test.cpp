#include "plugins/source_gguf/block_format.hpp"

#include <gmock/gmock.h>

#include <bit>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace d2c::source_gguf {
namespace {

template <class T>
std::vector<T> read_reference(const std::string& name) {
  std::ifstream file("tests/data/source_gguf/" + name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<T> values(bytes.size() / sizeof(T));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(values.data()));
  return values;
}

class QuantizedFormat : public ::testing::TestWithParam<BlockFormat> {};

TEST_P(QuantizedFormat, DequantizesToTheBitsOfTheReference) {
  const BlockFormat& format = GetParam();
  const auto blocks = read_reference<std::byte>(std::string(format.name) + ".blocks");
  const auto expected = read_reference<std::uint32_t>(std::string(format.name) + ".f32");
  const std::size_t count = blocks.size() / static_cast<std::size_t>(format.bytes);
  ASSERT_GT(count, 0u);
  ASSERT_EQ(expected.size(), count * static_cast<std::size_t>(format.elements));

  std::vector<float> values(expected.size());
  format.dequantize(blocks.data(), count, values.data());

  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), expected[i]) << "element " << i;
}

std::vector<BlockFormat> quantized_formats() {
  std::vector<BlockFormat> formats;
  for (const BlockFormat& f : block_formats())
    if (f.dequantize != nullptr) formats.push_back(f);
  return formats;
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedFormat, ::testing::ValuesIn(quantized_formats()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(BlockFormat, CoversTheFormatsPromised) {
  std::vector<std::string> names;
  for (const BlockFormat& f : block_formats()) names.emplace_back(f.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0",
                                                     "Q4_K", "Q5_K", "Q6_K"));
}

TEST(BlockFormat, NamesTypesItDoesNotSupport) {
  EXPECT_EQ(find_block_format(23), nullptr);
  EXPECT_EQ(ggml_type_name(23), "IQ4_XS");
  EXPECT_EQ(ggml_type_name(10), "Q2_K");
  EXPECT_EQ(ggml_type_name(4000000000u), "type 4000000000");
}

}  // namespace
}  // namespace d2c::source_gguf
