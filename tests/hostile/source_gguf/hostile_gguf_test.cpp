#include "tests/unit/source_gguf/gguf_builder.hpp"

#include <gmock/gmock.h>

namespace d2c::source_gguf {
namespace {

using ::testing::AllOf;
using testing::ByteString;
using testing::GgufBuilder;
using ::testing::HasSubstr;
using testing::OpenedModel;
using testing::small_llama;
using ::testing::ThrowsMessage;

void expect_refused(const std::string& file, const std::string& text) {
  EXPECT_THAT([&] { OpenedModel model(file); }, ThrowsMessage<Error>(AllOf(HasSubstr("m.gguf: "), HasSubstr(text))))
      << text;
}
void expect_refused(const GgufBuilder& b, const std::string& text) { expect_refused(b.build(), text); }

GgufBuilder with_everything() {
  GgufBuilder b = small_llama();
  b.text("tokenizer.ggml.model", "gpt2")
      .text("tokenizer.ggml.pre", "smollm")
      .texts("tokenizer.ggml.tokens", {"<s>", "a", "b", "ab", "c"});
  b.integers("tokenizer.ggml.token_type", {3, 1, 1, 1, 1}).texts("tokenizer.ggml.merges", {"a b"});
  return b;
}

TEST(HostileGguf, RefusesAFileCutAtAnyByte) {
  const std::string file = with_everything().build();
  ASSERT_NO_THROW(OpenedModel{file});
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_THROW(OpenedModel{file.substr(0, size)}, Error) << "cut at byte " << size;
  }
}

TEST(HostileGguf, SurvivesEveryDamagedHeaderByte) {
  const GgufBuilder b = with_everything();
  const std::string file = b.build();
  for (std::size_t at = 0; at < b.header_size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = file;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      try {
        const OpenedModel model(damaged);
        for (std::size_t t = 0; t < model->tensors().size(); ++t)
          (void)model->view(t, 0, rows_of(model->tensors()[t].type.shape));
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Code::input) << "byte " << at << ": " << e.what();
      }
    }
  }
}

TEST(HostileGguf, RefusesOtherMagicsAndVersions) {
  GgufBuilder b = small_llama();
  b.magic = 0x46554746u;
  expect_refused(b, "not a GGUF file");
  for (const std::uint32_t version : {0u, 1u, 4u}) {
    b = small_llama();
    b.version = version;
    expect_refused(b, "version " + std::to_string(version));
  }
  b.version = 0x03000000u;
  expect_refused(b, "big-endian");
}

TEST(HostileGguf, RefusesCountsThatTheFileCannotHold) {
  for (const std::int64_t extra : {std::int64_t{1} << 20, INT64_MAX, std::int64_t{-20}}) {
    GgufBuilder b = small_llama();
    b.extra_tensors = extra;
    expect_refused(b, "tensors, more than the file can hold");
    b.extra_tensors = 0;
    b.extra_pairs = extra;
    expect_refused(b, "metadata keys, more than the file can hold");
  }
}

TEST(HostileGguf, RefusesCountsThatAreOffByOne) {
  for (const std::int64_t extra : {-1, 1}) {
    GgufBuilder b = small_llama();
    b.extra_pairs = extra;
    expect_refused(b, "");
    b.extra_pairs = 0;
    b.extra_tensors = extra;
    expect_refused(b, "");
  }
}

TEST(HostileGguf, RefusesHugeStringsAndArraysBeforeAllocating) {
  for (const std::uint64_t length : {std::uint64_t{1} << 32, std::uint64_t{1} << 63, UINT64_MAX}) {
    expect_refused(small_llama().value("k", ValueType::string, ByteString().put(length).str()), "the value of 'k'");
    for (const ValueType type : {ValueType::u8, ValueType::f64, ValueType::string}) {
      expect_refused(small_llama().value("k", ValueType::array, GgufBuilder::array(type, length).str()),
                     "the value of 'k'");
    }
    expect_refused(
        small_llama().value("k", ValueType::array, GgufBuilder::array(ValueType::string, 1).put(length).str()),
        "the value of 'k'");
  }
  expect_refused(small_llama().text("k", std::string((16u << 20) + 1, 'x')), "more than the 16777216 allowed");
  expect_refused(small_llama().text(std::string(65536, 'k'), "v"), "more than the 65535 allowed");
  expect_refused(small_llama().floats(std::string(65, 't'), {8}), "more than the 64 allowed");
}

TEST(HostileGguf, RefusesArraysInArraysAndUnknownTypes) {
  expect_refused(
      small_llama().value("k", ValueType::array,
                          GgufBuilder::array(ValueType::array, 1).put(std::uint32_t{4}).put(std::uint64_t{0}).str()),
      "'k' is an array of arrays");
  expect_refused(small_llama().value("k", static_cast<ValueType>(13), "12345678"), "unknown type 13");
  expect_refused(small_llama().value("k", ValueType::array, GgufBuilder::array(static_cast<ValueType>(77), 0).str()),
                 "unknown type 77");
  expect_refused(small_llama().value("k", ValueType::boolean, "\x02"), "boolean of value 2");
}

TEST(HostileGguf, RefusesKeysAndTensorsThatStandTwice) {
  const std::string one = ByteString().put(std::uint32_t{1}).str();
  expect_refused(small_llama().value("llama.block_count", ValueType::u32, one, true),
                 "'llama.block_count' stands twice");
  expect_refused(small_llama().floats("output_norm.weight", {8}), "tensor 'output_norm.weight' stands twice");
}

TEST(HostileGguf, RefusesNamesThatAreEmptyOrNoText) {
  expect_refused(small_llama().text("", "v"), "is empty");
  expect_refused(small_llama().floats("", {8}), "is empty");
  expect_refused(small_llama().text("k", "\xc3("), "UTF-8");
  expect_refused(small_llama().text("k", "\xed\xa0\x80"), "UTF-8");
  expect_refused(small_llama().text("k", "\xc0\x80"), "UTF-8");
  expect_refused(small_llama().text("k", "\xf4\x90\x80\x80"), "UTF-8");
  expect_refused(small_llama().floats(std::string("a\n\0b", 4), {8}), "'a\\x0a\\x00b'");
}

TEST(HostileGguf, RefusesAlignmentsThatAreNoPowerOfTwo) {
  for (const std::uint32_t alignment : {0u, 3u, 48u, 0xffffffffu})
    expect_refused(small_llama().u32("general.alignment", alignment), "general.alignment");
  expect_refused(small_llama().text("general.alignment", "32"), "general.alignment");
}

TEST(HostileGguf, AcceptsAnotherAlignment) {
  GgufBuilder b = small_llama();
  b.alignment = 256;
  EXPECT_NO_THROW(OpenedModel(b.u32("general.alignment", 256)));
}

TEST(HostileGguf, RefusesTensorsThatOverlapLeaveTheFileOrAreNotAligned) {
  const auto shifted = [](std::int64_t shift) {
    GgufBuilder b = small_llama();
    b.tensor("blk.0.ffn_norm.weight").shift = shift;
    return b;
  };
  expect_refused(shifted(4), "no multiple of the alignment 32");
  expect_refused(shifted(-32), "tensors 'blk.0.attn_norm.weight' and 'blk.0.ffn_norm.weight' overlap");
  expect_refused(shifted(1 << 20), "'blk.0.ffn_norm.weight' needs 32 bytes");
  expect_refused(shifted(INT64_MIN), "'blk.0.ffn_norm.weight' needs 32 bytes");
}

TEST(HostileGguf, RefusesImpossibleDimensions) {
  const auto shaped = [](std::vector<std::uint64_t> dimensions) {
    return small_llama().add({"t", std::move(dimensions), 0, std::string(64, '\0')});
  };
  expect_refused(shaped({}), "0 dimensions");
  expect_refused(shaped({1, 1, 1, 1, 1}), "5 dimensions");
  expect_refused(shaped({4, 0}), "a dimension of 0");
  expect_refused(shaped({UINT64_MAX}), "a dimension of 18446744073709551615");
  expect_refused(shaped({1u << 31, 1u << 31, 4}), "impossible shape");
  expect_refused(shaped({std::uint64_t{1} << 62}), "impossible shape");
}

TEST(HostileGguf, RefusesRowsThatBlocksDoNotDivide) {
  for (const BlockFormat& format : block_formats()) {
    if (format.dequantize == nullptr) continue;
    const auto row = static_cast<std::uint64_t>(format.elements + format.elements / 2);
    expect_refused(small_llama().add({"t", {row, 2}, format.type, std::string(4096, '\0')}),
                   std::string("(") + format.name + ") do not divide");
  }
}

TEST(HostileGguf, RefusesUnsupportedTypesByName) {
  for (const auto& [type, name] : {std::pair<std::uint32_t, const char*>{10, "Q2_K"},
                                   {11, "Q3_K"},
                                   {20, "IQ4_NL"},
                                   {23, "IQ4_XS"},
                                   {39, "MXFP4"},
                                   {500, "type 500"}}) {
    expect_refused(small_llama().add({"t", {256, 1}, type, std::string(512, '\0')}),
                   std::string("'t' is stored as ") + name);
  }
}

TEST(HostileGguf, RefusesQuantizedVectors) {
  GgufBuilder b = small_llama();
  b.u32("llama.feed_forward_length", 32);
  b.add({"blk.0.ffn_gate.bias", {32}, 8, std::string(34, '\0')});
  for (const char* part : {"gate", "up"})
    b.drop_tensor(std::string("blk.0.ffn_") + part + ".weight")
        .floats(std::string("blk.0.ffn_") + part + ".weight", {8, 32});
  b.drop_tensor("blk.0.ffn_down.weight").floats("blk.0.ffn_down.weight", {32, 8});
  expect_refused(b, "vector stored as Q8_0");
}

}  // namespace
}  // namespace d2c::source_gguf
