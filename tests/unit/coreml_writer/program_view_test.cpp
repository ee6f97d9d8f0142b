// Programs that break a rule of the format must not become packages.
#include "plugins/coreml_writer/program_view.hpp"

#include "tests/unit/coreml_writer/sample_package.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::coreml_writer {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class ProgramRules : public testing::Test {
 protected:
  ProgramRules() { fill_sample(program_); }

  void expect_refusal(const std::string& message) {
    EXPECT_THAT([&] { ProgramView view(program_.c()); }, ThrowsMessage<Error>(HasSubstr(message)));
  }

  SampleFunction& init() { return program_.function_at(0); }

  SampleProgram program_;
};

TEST_F(ProgramRules, AcceptsASoundProgram) {
  const ProgramView view(program_.c());
  EXPECT_EQ(view.functions().size(), 3u);
  EXPECT_TRUE(view.uses_weight(0));
}

TEST_F(ProgramRules, FollowTheStrideOfLongerStructs) {
  struct Longer {
    d2c_function function;
    char more[24];
  };
  const d2c_program& c = program_.c();
  std::vector<Longer> longer;
  for (std::size_t i = 0; i < c.function_count; ++i) {
    longer.push_back({c.functions[i], {}});
    longer.back().function.struct_size = sizeof(Longer);
  }
  d2c_program copy = c;
  copy.functions = &longer[0].function;
  const ProgramView view(copy);
  EXPECT_STREQ(view.functions()[2]->name, "encode");
}

TEST_F(ProgramRules, WantLegalAndUniqueNames) {
  init().node_at(0).name = "model.layers.0";
  expect_refusal("function 'init': value 'model.layers.0' int32[1,1]: its name is no identifier");
  init().node_at(0).name = "fp16";
  expect_refusal("its name is no identifier");
  init().node_at(0).name = "cache";
  expect_refusal("its name is used twice");
}

TEST_F(ProgramRules, WantStatesInFp16) {
  init().node_at(1).type.dtype = D2C_F32;
  expect_refusal("states are fp16");
}

TEST_F(ProgramRules, WantFeaturesOfTypesThatArraysHave) {
  init().node_at(0).type.dtype = D2C_I64;
  expect_refusal("inputs and outputs are fp16, fp32 or int32; cast it");
}

TEST_F(ProgramRules, WantOutputsThatAreResults) {
  init().outputs() = {0};
  expect_refusal("an output must be the result of an op; pass it through identity");
  init().outputs().clear();
  expect_refusal("it has no outputs");
}

TEST_F(ProgramRules, WantValuesDefinedBeforeTheirUse) {
  std::swap(init().op_at(0), init().op_at(1));
  expect_refusal("linear 'linear0': 'x' is not defined before it");
}

TEST_F(ProgramRules, WantADefaultFunctionThatExists) {
  program_.set_default("generate");
  expect_refusal("default function");
}

TEST_F(ProgramRules, WantPlanesThatMakeTheWeight) {
  const std::size_t palette4 =
      5;  // "embed", "dense", "palette1", "palette2", "palette3" come before it in the table's order
  program_.layout(palette4).planes[1].type.dims[2] = 8;
  expect_refusal("does not serve indices");
  program_.layout(palette4).planes[1].type.dims[2] = 16;
  program_.layout(palette4).planes[1].type.dims[0] = 5;
  expect_refusal("does not divide into blocks");
  program_.layout(palette4).planes[1].type.dims[0] = 4;
  program_.layout(palette4).planes[1].type.dtype = D2C_F32;
  expect_refusal("weight 'palette4' fp16[64,64] cannot be stored: its palette is fp32[4,1,16,1]");
  program_.layout(palette4).plane_count = 1;
  expect_refusal("no plane for 'lut'");
  program_.layout(palette4).plane_count = 9;
  expect_refusal("has no usable layout");
}

TEST_F(ProgramRules, WantVectorsThatFillTheWeight) {
  const std::size_t vectors = 9;
  ASSERT_EQ(program_.layout(vectors).planes[1].type.dims[3], 2);
  program_.layout(vectors).planes[1].type.dims[3] = 4;
  expect_refusal("entries of 4 elements do not make it");
  program_.layout(vectors).planes[0].type.dims[0] = 64;
  expect_refusal("for as many indices as elements");
}

TEST_F(ProgramRules, WantConstantsOfTheirSize) {
  Constant bad = Constant::i32s({1, 2, 3});
  bad.data.resize(8);
  program_.use(init(), "bad", bad);
  expect_refusal("int32[3] comes with 8 bytes");
}

TEST_F(ProgramRules, KnowNoBf16Constants) {
  Constant bad = Constant::real(DType::f16, 1);
  bad.type.dtype = DType::bf16;
  program_.use(init(), "bad", bad);
  expect_refusal("Core ML has no constants of this type");
}

}  // namespace
}  // namespace d2c::coreml_writer
