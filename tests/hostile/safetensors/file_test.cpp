#include "libs/safetensors/safetensors.hpp"

#include "tests/unit/safetensors/checkpoint_folder.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <ostream>

namespace {

using d2c::Code;
using d2c::Error;
using d2c::safetensors::File;
using d2c::test::CheckpointFolder;
using d2c::test::safetensors_bytes;
using ::testing::HasSubstr;

/// Opens the file and returns the refusal; a wrong class of error is a failure.
std::string refusal(const std::string& path) {
  try {
    const File file(path);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input) << e.what();
    return e.what();
  }
  ADD_FAILURE() << path << " was accepted";
  return {};
}

std::string with_length(std::uint64_t length, std::string_view rest) {
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes.append(rest);
}

struct Case {
  const char* name;
  std::string bytes;
  const char* message;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class MalformedFile : public ::testing::TestWithParam<Case> {};

TEST_P(MalformedFile, IsRefusedWithTheReason) {
  const CheckpointFolder folder;
  const std::string message = refusal(folder.write("model.safetensors", GetParam().bytes));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_THAT(message, HasSubstr("model.safetensors"));
}

/// A header with one tensor "w" and two bytes of data.
std::string one_tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return safetensors_bytes(
      R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", "ab");
}

std::string two_tensors(const std::string& first, const std::string& second, std::string_view data) {
  return safetensors_bytes(R"({"v":{"dtype":"U8","shape":[2],"data_offsets":)" + first +
                               R"(},"w":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}",
                           data);
}

const Case kCases[] = {
    {"Empty", "", "too few"},
    {"SevenBytes", std::string("\x01\0\0\0\0\0\0", 7), "too few"},
    {"LengthOnly", with_length(1, ""), "cut short"},
    {"LengthZero", with_length(0, ""), "not valid JSON"},
    {"LengthPastEnd", with_length(100, "{}"), "cut short"},
    {"LengthTwoTo63", with_length(std::uint64_t{1} << 63, "{}"), "more than the format allows"},
    {"LengthAllOnes", with_length(~std::uint64_t{0}, "{}"), "more than the format allows"},
    {"LengthAboveLimit", with_length(100'000'001, "{}"), "more than the format allows"},
    {"NotJson", safetensors_bytes("garbage!"), "not valid JSON"},
    {"InvalidUtf8", safetensors_bytes("{\"\xff\xfe\":{}}"), "not valid JSON"},
    {"JsonList", safetensors_bytes("[]"), "not a JSON object"},
    {"TextBehindNul", safetensors_bytes(std::string_view("{}\0{}", 5)), "NUL"},
    {"TwoDocuments", safetensors_bytes("{}{}"), "not valid JSON"},
    {"DeepJson", safetensors_bytes(std::string(1 << 20, '[')), "nested deeper"},
    {"DeepMetadata", safetensors_bytes(R"({"__metadata__":)" + std::string(1 << 20, '{')), "not valid JSON"},
    {"MetadataOfNumbers", safetensors_bytes(R"({"__metadata__":{"a":1}})"), "'a' is not a string"},
    {"MetadataList", safetensors_bytes(R"({"__metadata__":[]})"), "__metadata__ is not an object"},
    {"EntryIsNumber", safetensors_bytes(R"({"w":1})"), "not an object"},
    {"NoDtype", safetensors_bytes(R"({"w":{"shape":[],"data_offsets":[0,0]}})"), "has no dtype"},
    {"NoShape", safetensors_bytes(R"({"w":{"dtype":"U8","data_offsets":[0,0]}})"), "has no shape"},
    {"NoOffsets", safetensors_bytes(R"({"w":{"dtype":"U8","shape":[0]}})"), "has no data_offsets"},
    {"DtypeIsNumber", safetensors_bytes(R"({"w":{"dtype":8,"shape":[0],"data_offsets":[0,0]}})"),
     "dtype is not a string"},
    {"UnknownDtype", one_tensor("F31", "[2]", "[0,2]"), "unknown dtype 'F31'"},
    {"NegativeShape", one_tensor("U8", "[-1,-2]", "[0,2]"), "no size"},
    {"FractionalShape", one_tensor("U8", "[2.0]", "[0,2]"), "no size"},
    {"HugeDimension", one_tensor("U8", "[18446744073709551615]", "[0,2]"), "no size"},
    {"ProductOverflows", one_tensor("U8", "[4294967296,4294967296,2]", "[0,2]"), "overflows"},
    {"ProductWrapsToTheRightSize", one_tensor("U8", "[9223372036854775807,2,2]", "[0,2]"), "overflows"},
    {"BitsOverflow", one_tensor("F64", "[9223372036854775807]", "[0,2]"), "overflows"},
    {"HalfByte", one_tensor("F4", "[3]", "[0,2]"), "whole bytes"},
    {"ShapeLargerThanBytes", one_tensor("U8", "[3]", "[0,2]"), "does not take the 2 bytes"},
    {"NegativeOffset", one_tensor("U8", "[2]", "[-2,0]"), "no size"},
    {"OffsetsReversed", one_tensor("U8", "[2]", "[2,0]"), "[begin, end]"},
    {"ThreeOffsets", one_tensor("U8", "[2]", "[0,2,2]"), "[begin, end]"},
    {"OffsetPastEnd", one_tensor("U8", "[4]", "[0,4]"), "past the end"},
    {"OffsetsNear63Bits", one_tensor("U8", "[2]", "[9223372036854775805,9223372036854775807]"), "gap"},
    {"Overlap", two_tensors("[0,2]", "[1,3]", "abc"), "overlaps"},
    {"SameBytesTwice", two_tensors("[0,2]", "[0,2]", "ab"), "overlaps"},
    {"Gap", two_tensors("[0,2]", "[3,5]", "abcde"), "gap"},
    {"GapAtStart", one_tensor("U8", "[1]", "[1,2]"), "gap"},
    {"TrailingBytes", one_tensor("U8", "[1]", "[0,1]"), "1 bytes after the last tensor"},
    {"Truncated", two_tensors("[0,2]", "[2,4]", "abc"), "past the end"},
    {"SameNameTwice",
     safetensors_bytes(
         R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
         "ab"),
     "'w' stands twice"},
};

INSTANTIATE_TEST_SUITE_P(Safetensors, MalformedFile, ::testing::ValuesIn(kCases),
                         [](const ::testing::TestParamInfo<Case>& c) { return c.param.name; });

TEST(UnusualFile, ADirectoryIsRefused) {
  const CheckpointFolder folder;
  EXPECT_THAT(refusal(folder.path()), HasSubstr("not a regular file"));
}

TEST(UnusualFile, AFifoIsRefusedWithoutWaitingForAWriter) {
  const CheckpointFolder folder;
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(refusal(folder.path("pipe")), HasSubstr("not a regular file"));
}

TEST(UnusualFile, ADeviceIsRefused) { EXPECT_THAT(refusal("/dev/zero"), HasSubstr("not a regular file")); }

TEST(UnusualFile, AMissingFileIsRefused) {
  EXPECT_THAT(refusal("/nowhere/model.safetensors"), HasSubstr("cannot be opened"));
}

TEST(UnusualFile, AFileWithoutPermissionIsRefused) {
  const CheckpointFolder folder;
  const std::string path = folder.write("f", safetensors_bytes("{}"));
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  const uid_t user = ::geteuid();
  constexpr uid_t kNobody = 65534;
  if (user == 0) {  // who may read everything
    ASSERT_EQ(::seteuid(kNobody), 0);
  }
  EXPECT_THAT(refusal(path), HasSubstr("Permission denied"));
  ASSERT_EQ(::seteuid(user), 0);
}

TEST(EveryPrefix, OfAValidFileIsRefused) {
  const std::string whole = one_tensor("U8", "[2]", "[0,2]");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto start = std::as_bytes(std::span(whole)).first(size);
    EXPECT_THROW((void)d2c::safetensors::parse_header(start, size, "f"), Error) << size;
  }
}

}  // namespace
