#include "libs/coreml_spec/blob_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstring>
#include <fstream>

namespace d2c::coreml {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

std::string text(const BlobBlock& block) { return {reinterpret_cast<const char*>(block.data()), block.size()}; }

/// A weight file in a temporary place, made of zero data.
class WeightFile {
 public:
  explicit WeightFile(const std::string& bytes)
      : path_(std::filesystem::temp_directory_path() / ("d2c_blobs_" + std::to_string(::getpid()))) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  ~WeightFile() { std::filesystem::remove(path_); }
  WeightFile(const WeightFile&) = delete;
  WeightFile& operator=(const WeightFile&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string file_of(const BlobLayout& layout) {
  std::string bytes(layout.file_size(), '\0');
  const auto put = [&](std::uint64_t at, const BlobBlock& block) {
    std::memcpy(bytes.data() + at, block.data(), block.size());
  };
  put(0, encode_blob_header(layout.records().size()));
  for (const BlobRecord& r : layout.records()) put(r.offset, encode_blob_record(r));
  return bytes;
}

TEST(BlobLayout, PlacesRecordsAtMultiplesOf64AndPadsNothingAtTheEnd) {
  BlobLayout layout;
  EXPECT_EQ(layout.file_size(), 0u);
  EXPECT_EQ(layout.add({DType::f16, {5}}).offset, 64u);
  EXPECT_EQ(layout.add({DType::f32, {16}}).offset, 192u);
  EXPECT_EQ(layout.add({DType::u8, {1}}).offset, 320u);
  EXPECT_EQ(layout.file_size(), 385u);
}

TEST(BlobLayout, CountsThePaddingBitsOfSubByteTypes) {
  const struct {
    DType dtype;
    std::uint64_t size;
    unsigned padding;
  } kCases[] = {{DType::u1, 9, 7},  {DType::u2, 17, 6}, {DType::u3, 25, 5}, {DType::u4, 33, 4},
                {DType::u6, 49, 2}, {DType::i4, 33, 4}, {DType::u8, 65, 0}};
  for (const auto& c : kCases) {
    const BlobRecord record = BlobLayout().add({c.dtype, {5, 13}});
    EXPECT_EQ(record.size, c.size) << name_of(c.dtype);
    EXPECT_EQ(record.padding_bits, c.padding) << name_of(c.dtype);
  }
}

TEST(BlobLayout, RefusesWhatTheStorageCannotHold) {
  BlobLayout layout;
  for (const DType dtype : {DType::boolean, DType::string, DType::f64, DType::i64, DType::u64})
    EXPECT_THROW(layout.add({dtype, {4}}), Error) << name_of(dtype);
  EXPECT_THROW(layout.add({DType::f16, {0, 4}}), Error);
  EXPECT_THROW(layout.add({DType::f16, {std::int64_t{1} << 62}}), Error);
  EXPECT_THROW(layout.add({DType::f16, {-1}}), Error);
}

TEST(BlobRecord, HasTheBytesOfTheFormat) {
  const BlobBlock block = encode_blob_record({DType::u3, 128, 25, 5});
  EXPECT_EQ(text(block).substr(0, 32),
            std::string("\xEF\xBE\xAD\xDE\x0c\0\0\0\x19\0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0", 32));
  EXPECT_EQ(text(block).substr(32), std::string(32, '\0'));
  EXPECT_EQ(text(encode_blob_header(3)).substr(0, 8), std::string("\x03\0\0\0\x02\0\0\0", 8));
}

TEST(BlobRecord, ComesBackAsItWasForEveryType) {
  for (const DType dtype : {DType::f16, DType::f32, DType::u8, DType::i8, DType::bf16, DType::i16, DType::u16,
                            DType::i4, DType::u1, DType::u2, DType::u4, DType::u3, DType::u6, DType::i32, DType::u32}) {
    const BlobRecord record = BlobLayout().add({dtype, {3, 7}});
    const BlobRecord back = decode_blob_record(encode_blob_record(record), record.offset, record.end(), "w");
    EXPECT_EQ(back.dtype, dtype);
    EXPECT_EQ(back.size, record.size);
    EXPECT_EQ(back.padding_bits, record.padding_bits);
  }
}

/// A sound record of 16 bytes at 64 in a file of 144 with one number replaced.
BlobBlock with(std::size_t at, std::uint64_t value, std::size_t width) {
  BlobBlock block = encode_blob_record({DType::f16, 64, 16, 0});
  std::memcpy(block.data() + at, &value, width);
  return block;
}

TEST(BlobRecord, IsCheckedForEveryLie) {
  const auto expect = [](const BlobBlock& block, const char* message) {
    EXPECT_THAT([&] { (void)decode_blob_record(block, 64, 144, "weight.bin"); },
                ThrowsMessage<Error>(HasSubstr(message)));
  };
  EXPECT_NO_THROW((void)decode_blob_record(with(0, 0xDEADBEEF, 4), 64, 144, "weight.bin"));
  expect(with(0, 0, 4), "weight.bin: record at offset 64 has no blob mark");
  expect(with(4, 99, 4), "unknown type code 99");
  expect(with(8, 17, 8), "claims 17 bytes, but the file ends after 16");
  expect(with(8, UINT64_MAX, 8), "truncated or damaged");
  expect(with(16, 192, 8), "not directly behind it");
  expect(with(16, UINT64_MAX - 10, 8), "not directly behind it");
  expect(with(24, 3, 8), "claims 3 padding bits");
  expect(with(24, 9, 8), "claims 9 padding bits");
}

TEST(BlobFile, FindsBlobsByOffsetAndType) {
  BlobLayout layout;
  layout.add({DType::f16, {5}});
  const BlobRecord second = layout.add({DType::u3, {5, 13}});
  const WeightFile weights(file_of(layout));
  const BlobFile file(weights.path());
  EXPECT_EQ(file.records().size(), 2u);
  EXPECT_EQ(file.find(second.offset, {DType::u3, {13, 5}}, "w").size, 25u);
  EXPECT_THAT(
      [&] {
        (void)file.find(second.offset, {DType::u4, {5, 13}}, "w");
      },
      ThrowsMessage<Error>(HasSubstr("holds uint3")));
  EXPECT_THAT(
      [&] {
        (void)file.find(second.offset, {DType::u3, {5, 14}}, "w");
      },
      ThrowsMessage<Error>(HasSubstr("does not match")));
  EXPECT_THAT(
      [&] {
        (void)file.find(second.offset, {DType::u3, {std::int64_t{1} << 62}}, "w");
      },
      ThrowsMessage<Error>(HasSubstr("does not match")));
  EXPECT_THAT(
      [&] {
        (void)file.find(65, {DType::f16, {5}}, "w");
      },
      ThrowsMessage<Error>(HasSubstr("no blob at offset 65")));
}

TEST(BlobFile, RefusesFilesThatAreCutOrGoOn) {
  BlobLayout layout;
  layout.add({DType::f16, {5}});
  layout.add({DType::f16, {64}});
  const std::string whole = file_of(layout);
  for (const std::size_t size : {0u, 10u, 63u, 64u, 100u, 130u, 200u, 300u}) {
    const WeightFile weights(whole.substr(0, size));
    EXPECT_THROW(BlobFile{weights.path()}, Error) << size;
  }
  const WeightFile longer(whole + std::string(200, '\0'));
  EXPECT_THAT([&] { BlobFile{longer.path()}; }, ThrowsMessage<Error>(HasSubstr("follow the last blob")));
  std::string other = whole;
  other[4] = 1;
  const WeightFile version(other);
  EXPECT_THAT([&] { BlobFile{version.path()}; }, ThrowsMessage<Error>(HasSubstr("storage version 1")));
  EXPECT_THROW(BlobFile{"/nowhere"}, Error);
}

}  // namespace
}  // namespace d2c::coreml
