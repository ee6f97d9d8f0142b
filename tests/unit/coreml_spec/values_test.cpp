#include "libs/coreml_spec/values.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::coreml {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using Member = spec::TensorValue::ValueCase;

spec::Value immediate(DType dtype, Shape shape, const std::vector<std::byte>& bytes) {
  spec::Value value;
  set_immediate({dtype, std::move(shape)}, bytes, value);
  return value;
}

std::vector<std::byte> bytes_for(DType dtype, std::int64_t count) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(bytes_of(dtype, count)));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(dtype == DType::boolean ? i % 2 : i * 37 % 120);
  return bytes;
}

void expect_refusal(const spec::Value& value, const char* message) {
  EXPECT_THAT([&] { (void)immediate_bytes(value, "op 'x'"); }, ThrowsMessage<Error>(HasSubstr(message)));
}

TEST(Immediates, LieInTheMemberThatTheirTypeAsksFor) {
  const std::pair<DType, Member> kCases[] = {
      {DType::boolean, Member::kBools}, {DType::f32, Member::kFloats}, {DType::f64, Member::kDoubles},
      {DType::i32, Member::kInts},      {DType::i16, Member::kInts},   {DType::u16, Member::kInts},
      {DType::i64, Member::kLongs},     {DType::u64, Member::kLongs},  {DType::f16, Member::kBytes},
      {DType::i8, Member::kBytes},      {DType::u8, Member::kBytes},   {DType::u32, Member::kBytes},
      {DType::u4, Member::kBytes},      {DType::i4, Member::kBytes},   {DType::u1, Member::kBytes},
      {DType::u3, Member::kBytes}};
  for (const auto& [dtype, member] : kCases) {
    const auto bytes = bytes_for(dtype, 8);
    const spec::Value value = immediate(dtype, {2, 4}, bytes);
    EXPECT_EQ(value.immediate().tensor().value_case(), member) << name_of(dtype);
    EXPECT_EQ(immediate_bytes(value, "v"), bytes) << name_of(dtype);
    EXPECT_EQ(value_type(value, "v"), (TensorType{dtype, {2, 4}}));
  }
}

TEST(Immediates, KeepAMemberForEmptyTensors) {
  const spec::Value value = immediate(DType::i32, {0}, {});
  EXPECT_EQ(value.immediate().tensor().value_case(), Member::kInts);
  EXPECT_TRUE(immediate_bytes(value, "v").empty());
}

TEST(Immediates, CarryStringsWithoutTheirTerminator) {
  const std::vector<std::byte> text{std::byte{'h'}, std::byte{'i'}, std::byte{0}};
  const spec::Value value = immediate(DType::string, {}, text);
  EXPECT_EQ(value.immediate().tensor().strings().values(0), "hi");
  EXPECT_EQ(immediate_bytes(value, "v"), text);
}

TEST(Immediates, MustFitTheirType) {
  spec::Value value = immediate(DType::f16, {3}, bytes_for(DType::f16, 3));
  value.mutable_type()->mutable_tensor()->mutable_dimensions(0)->mutable_constant()->set_size(4);
  expect_refusal(value, "op 'x': fp16[4] comes with 6 bytes");
  value.mutable_type()->mutable_tensor()->mutable_dimensions(0)->mutable_constant()->set_size(std::uint64_t{1} << 62);
  expect_refusal(value, "comes with 6 bytes");
  value.mutable_type()->mutable_tensor()->set_dtype(D2C_I32);
  expect_refusal(value, "is not stored the way");
  value.clear_value();
  expect_refusal(value, "holds no immediate tensor");

  spec::Value small = immediate(DType::i16, {1}, bytes_for(DType::i16, 1));
  small.mutable_immediate()->mutable_tensor()->mutable_ints()->set_values(0, 70000);
  expect_refusal(small, "70000 does not fit");
}

TEST(Types, KnowDimensionsOfUnknownSize) {
  spec::ValueType type;
  set_tensor_type({DType::f16, {1, 2}}, *type.mutable_state()->mutable_wrapped());
  type.mutable_state()->mutable_wrapped()->mutable_tensor()->mutable_dimensions(0)->mutable_unknown();
  EXPECT_EQ(tensor_type(type, "t"), (TensorType{DType::f16, {kUnknownDimension, 2}}));
}

TEST(Types, RefuseContradictions) {
  const auto expect = [](const spec::ValueType& type, const char* message) {
    EXPECT_THAT([&] { (void)tensor_type(type, "t"); }, ThrowsMessage<Error>(HasSubstr(message)));
  };
  spec::ValueType type;
  expect(type, "neither a tensor nor a state");
  set_tensor_type({DType::f16, {1, 2}}, type);
  type.mutable_tensor()->set_rank(3);
  expect(type, "rank 3 with 2 dimensions");
  type.mutable_tensor()->set_rank(2);
  type.mutable_tensor()->mutable_dimensions(1)->mutable_constant()->set_size(UINT64_MAX);
  expect(type, "a dimension of 18446744073709551615");
  type.mutable_tensor()->mutable_dimensions(1)->clear_dimension();
  expect(type, "a dimension without a size");
  type.mutable_tensor()->set_dtype(999);
  expect(type, "unknown element type 999");
}

}  // namespace
}  // namespace d2c::coreml
