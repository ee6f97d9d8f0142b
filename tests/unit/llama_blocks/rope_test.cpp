#include "libs/llama_blocks/rope.hpp"
#include "libs/json/json.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>

namespace d2c::llama {
namespace {

LlamaConfig config(const std::string& name) {
  return LlamaConfig::parse(json::parse_file("tests/data/llama_blocks/configs/" + name + ".json"));
}

TEST(Rope, FrequenciesEqualThoseOfTransformersBitForBit) {
  const Value golden = json::parse_file("tests/data/llama_blocks/inv_freq.json");
  for (const auto& [name, bits] : golden.members()) {
    SCOPED_TRACE(name);
    const LlamaConfig c = config(name);
    const std::vector<float> computed = inverse_frequencies(c.rope, c.head_dim);
    ASSERT_EQ(computed.size(), bits.items().size());
    for (std::size_t i = 0; i < computed.size(); ++i)
      EXPECT_EQ(std::bit_cast<std::uint32_t>(computed[i]), bits.items()[i].as_int()) << "frequency " << i;
  }
}

TEST(Rope, TablesHoldCosinesAndSignedSinesOfEveryPosition) {
  const LlamaConfig c = config("rope_llama3_bf16");
  const std::vector<float> frequencies = inverse_frequencies(c.rope, c.head_dim);
  const RopeTables t = rope_tables(c.rope, c.head_dim, 40);
  const std::size_t half = frequencies.size(), row = 2 * half;
  ASSERT_EQ(t.cos.size(), 40 * row);
  for (std::size_t p = 0; p < 40; ++p)
    for (std::size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequencies[i];
      EXPECT_FLOAT_EQ(t.cos[p * row + i], std::cos(angle));
      EXPECT_EQ(t.cos[p * row + i], t.cos[p * row + half + i]);
      EXPECT_FLOAT_EQ(t.sin[p * row + half + i], std::sin(angle));
      EXPECT_EQ(t.sin[p * row + i], -t.sin[p * row + half + i]);
    }
}

}  // namespace
}  // namespace d2c::llama
