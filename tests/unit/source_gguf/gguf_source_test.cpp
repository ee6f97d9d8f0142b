#include "libs/json/json.hpp"
#include "tests/unit/source_gguf/gguf_builder.hpp"

#include <d2c/half.hpp>

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace d2c::source_gguf {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::GgufBuilder;
using ::testing::HasSubstr;
using testing::OpenedModel;
using testing::small_llama;
using ::testing::ThrowsMessage;

constexpr char kTiny[] = "tests/data/source_gguf/tiny.gguf";

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct TinyModel {
  testing::RecordingHost host;
  GgufSource source{host.host(), Config(Value(Value::Table{{"path", kTiny}}))};
  Value expected = json::parse_file("tests/data/source_gguf/tiny.json");
  std::string values = read_file("tests/data/source_gguf/tiny.bin");

  [[nodiscard]] std::string expected_bytes(const TensorInfo& t) const {
    const Value& e = expected.at(t.name);
    return values.substr(static_cast<std::size_t>(e.at("offset").as_int()),
                         static_cast<std::size_t>(e.at("size").as_int()));
  }
};

std::string bytes_of_view(const View& view) {
  return {reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()};
}

TEST(GgufSource, DeliversEveryTensorOfAReferenceFileUnderItsHuggingFaceName) {
  const TinyModel m;
  ASSERT_EQ(m.source.tensors().size(), m.expected.members().size());
  for (std::size_t i = 0; i < m.source.tensors().size(); ++i) {
    const TensorInfo& t = m.source.tensors()[i];
    EXPECT_EQ(name_of(t.type.dtype), m.expected.at(t.name).at("dtype").as_text()) << t.name;
    EXPECT_TRUE(bytes_of_view(m.source.view(i, 0, rows_of(t.type.shape))) == m.expected_bytes(t)) << t.name;
  }
}

TEST(GgufSource, DeliversAnyRangeOfRows) {
  const TinyModel m;
  for (std::size_t i = 0; i < m.source.tensors().size(); ++i) {
    const TensorInfo& t = m.source.tensors()[i];
    const std::int64_t rows = rows_of(t.type.shape);
    const std::string whole = m.expected_bytes(t);
    const std::size_t row_bytes = whole.size() / static_cast<std::size_t>(rows);
    for (const auto& [first, count] :
         {std::pair<std::int64_t, std::int64_t>{0, 1}, {rows - 1, 1}, {3, 10}, {rows, 0}, {1, rows - 1}}) {
      EXPECT_TRUE(
          bytes_of_view(m.source.view(i, first, count)) ==
          whole.substr(static_cast<std::size_t>(first) * row_bytes, static_cast<std::size_t>(count) * row_bytes))
          << t.name << " rows " << first << " + " << count;
    }
  }
}

TEST(GgufSource, MayBeReadByManyThreads) {
  const TinyModel m;
  std::vector<std::jthread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&m] {
      for (std::size_t i = 0; i < m.source.tensors().size(); ++i) {
        const TensorInfo& t = m.source.tensors()[i];
        EXPECT_TRUE(bytes_of_view(m.source.view(i, 0, rows_of(t.type.shape))) == m.expected_bytes(t)) << t.name;
      }
    });
  }
}

TEST(GgufSource, NamesItsFileByAbsolutePath) {
  const TinyModel m;
  EXPECT_THAT(m.source.files(), ElementsAre(std::filesystem::absolute(kTiny).string()));
}

TEST(GgufSource, UndoesTheRowOrderOfQueriesAndKeys) {
  const OpenedModel m(small_llama());
  // One head's stored rows are pairs (0, 2), (1, 3) of the wanted ones, interleaved; a row of 8 starts with 8 * row.
  const auto first_column = [&](const char* name) {
    std::vector<float> firsts;
    const auto values = m.values<float>(name);
    for (std::size_t i = 0; i < values.size(); i += 8) firsts.push_back(values[i] / 8);
    return firsts;
  };
  EXPECT_THAT(first_column("model.layers.0.self_attn.q_proj.weight"), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(first_column("model.layers.0.self_attn.k_proj.weight"), ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(first_column("model.layers.0.self_attn.v_proj.weight"), ElementsAre(0, 1, 2, 3));
}

TEST(GgufSource, UndoesTheOrderOfBiasesToo) {
  const OpenedModel m(small_llama().floats("blk.0.attn_q.bias", {8}).floats("blk.0.attn_v.bias", {4}));
  EXPECT_THAT(m.values<float>("model.layers.0.self_attn.q_proj.bias"), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(m.values<float>("model.layers.0.self_attn.q_proj.bias", 3, 2), ElementsAre(3, 4));
  EXPECT_THAT(m.values<float>("model.layers.0.self_attn.v_proj.bias"), ElementsAre(0, 1, 2, 3));
}

/// A model whose ffn_down (32 columns) is one Q8_0 block per row, all codes 127, with the given scale in row 1.
GgufBuilder with_scale(std::uint16_t scale) {
  GgufBuilder b = small_llama();
  b.u32("llama.feed_forward_length", 32);
  for (const char* name : {"blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight"})
    b.drop_tensor(name);
  b.floats("blk.0.ffn_gate.weight", {8, 32}).floats("blk.0.ffn_up.weight", {8, 32});
  testing::ByteString blocks;
  for (int row = 0; row < 8; ++row) blocks.put(row == 1 ? scale : std::uint16_t{0x3c00}).raw(std::string(32, '\x7f'));
  b.add({"blk.0.ffn_down.weight", {32, 8}, 8, blocks.str()});
  return b;
}

constexpr char kDown[] = "model.layers.0.mlp.down_proj.weight";

TEST(GgufSource, RoundsOnceToTheNearestHalf) {
  const OpenedModel m(with_scale(0x0001));  // 127 * 2^-24 is subnormal and exact
  EXPECT_THAT(m.values<std::uint16_t>(kDown, 1, 1), Each(127));
  EXPECT_THAT(m.values<std::uint16_t>(kDown, 0, 1), Each(float_to_half(127)));
}

TEST(GgufSource, RefusesAValueThatHalfPrecisionCannotHold) {
  const auto message =
      AllOf(HasSubstr("m.gguf"), HasSubstr("blk.0.ffn_down.weight"), HasSubstr("row 1"), HasSubstr("65504"));
  for (const int scale : {0x6400 /* 1024 */, 0x7c00 /* infinity */, 0x7e00 /* no number */}) {
    const OpenedModel m(with_scale(static_cast<std::uint16_t>(scale)));
    EXPECT_THAT([&] { (void)m.values<std::uint16_t>(kDown); }, ThrowsMessage<Error>(message));
    EXPECT_EQ(m.values<std::uint16_t>(kDown, 2, 6).size(), 6u * 32u) << "other rows are not touched";
  }
}

TEST(GgufSource, RefusesRowsThatAreNotThere) {
  const OpenedModel m(small_llama());
  for (const auto& rows : {std::pair<std::int64_t, std::int64_t>{-1, 1}, {0, 9}, {9, 0}, {5, -1}, {1, INT64_MAX}}) {
    const auto view = [&] { (void)m.values<float>("model.layers.0.self_attn.q_proj.weight", rows.first, rows.second); };
    EXPECT_THAT(view, ThrowsMessage<Error>(HasSubstr("q_proj")));
  }
}

TEST(GgufSource, ProbesForTheMagicOnly) {
  EXPECT_EQ(GgufSource::probe(kTiny), 100);
  EXPECT_EQ(GgufSource::probe("tests/data/source_gguf/tiny.json"), 0);
  EXPECT_EQ(GgufSource::probe("tests/data/source_gguf"), 0);
  EXPECT_EQ(GgufSource::probe("no such file"), 0);
}

TEST(GgufSource, NamesAFileItCannotOpen) {
  const testing::RecordingHost host;
  const auto open = [&](const char* path) { GgufSource(host.host(), Config(Value(Value::Table{{"path", path}}))); };
  EXPECT_THAT([&] { open("no/such.gguf"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("no/such.gguf"), HasSubstr("cannot be read"))));
  EXPECT_THAT([&] { open("tests/data"); }, ThrowsMessage<Error>(HasSubstr("is not a file")));
}

}  // namespace
}  // namespace d2c::source_gguf
