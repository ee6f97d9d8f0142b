// The program as it comes out: which ops, in which order, with which values where.
#include "libs/coreml_spec/blob_file.hpp"
#include "libs/coreml_spec/model_file.hpp"
#include "libs/coreml_spec/values.hpp"
#include "tests/unit/coreml_writer/sample_package.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace d2c::coreml_writer {
namespace {

namespace spec = coreml::spec;
using testing::ElementsAre;

class ModelTest : public testing::Test {
 protected:
  ModelTest() {
    fill_sample(program_);
    const auto package = folder_.path() / "m.mlpackage";
    write_package(program_.c(), package);
    model_ = coreml::parse_model(package / "Data/com.apple.CoreML/model.mlmodel");
    weights_ = package / "Data/com.apple.CoreML/weights/weight.bin";
  }

  [[nodiscard]] const spec::Block& body(const char* function) const {
    return model_.program().functions().at(function).blocks().at("CoreML8");
  }

  [[nodiscard]] const spec::Operation& op(const char* function, std::string_view result) const {
    for (const spec::Operation& o : body(function).operations())
      if (o.outputs_size() == 1 && o.outputs(0).name() == result) return o;
    throw std::out_of_range(std::string(result));
  }

  static const spec::Value& inline_value(const spec::Operation& o, const char* parameter) {
    return o.inputs().at(parameter).bindings(0).value();
  }

  SampleProgram program_;
  TemporaryFolder folder_;
  spec::Model model_;
  std::filesystem::path weights_;
};

TEST_F(ModelTest, DescribesFunctionsInTheHostsOrder) {
  EXPECT_EQ(model_.specification_version(), 9);
  std::vector<std::string> names;
  for (const auto& f : model_.description().functions()) names.push_back(f.name());
  EXPECT_THAT(names, ElementsAre("init", "decode", "encode"));
  EXPECT_EQ(model_.description().default_function(), "decode");
  EXPECT_EQ(model_.description().functions(0).states(0).name(), "cache");
  EXPECT_EQ(model_.description().functions(2).states_size(), 0);
  EXPECT_EQ(model_.program().version(), 1);
}

TEST_F(ModelTest, DescribesAScalarInputAsAnArrayOfOne) {
  SampleProgram program;
  SampleFunction& f = program.function("f");
  const auto x = f.input("x", {DType::f32, {2}});
  const auto scale = f.input("scale", {DType::f32, {}});
  f.output(f.op("mul", "y", {{"x", {x}}, {"y", {scale}}}, {DType::f32, {2}}));
  const auto package = folder_.path() / "scalar.mlpackage";
  write_package(program.c(), package);
  const spec::Model model = coreml::parse_model(package / "Data/com.apple.CoreML/model.mlmodel");
  EXPECT_THAT(model.description().functions(0).inputs(1).type().array().shape(), ElementsAre(1));
  EXPECT_EQ(model.program().functions().at("f").inputs(1).type().tensor().rank(), 0);
}

TEST_F(ModelTest, EmitsEachConstantOnceRightBeforeItsFirstUse) {
  const auto& operations = body("decode").operations();
  std::vector<std::string> first;
  for (int i = 0; i < 6; ++i) first.push_back(operations[i].type());
  EXPECT_THAT(first, ElementsAre("constexpr_lut_to_dense", "const", "const", "gather", "const", "linear"));
  int axis = 0;
  for (const auto& o : operations) axis += o.outputs_size() == 1 && o.outputs(0).name() == "axis";
  EXPECT_EQ(axis, 1);
}

TEST_F(ModelTest, KeepsToAFunctionTheWeightsItUses) {
  EXPECT_NO_THROW((void)op("init", "embed"));
  EXPECT_THROW((void)op("encode", "embed"), std::out_of_range);
  EXPECT_THROW((void)op("init", "odd4"), std::out_of_range);
}

TEST_F(ModelTest, GivesEveryOpItsNameAndNothingElse) {
  for (const spec::Operation& o : body("init").operations()) {
    ASSERT_TRUE(o.attributes().contains("name"));
    EXPECT_EQ(o.attributes().size(), o.type() == "const" ? 2u : 1u) << o.type();
  }
  EXPECT_EQ(op("init", "hidden").attributes().at("name").immediate().tensor().strings().values(0), "hidden");
}

TEST_F(ModelTest, BindsPaletteParametersInPlace) {
  const spec::Operation& plain = op("decode", "palette4");
  EXPECT_FALSE(plain.inputs().contains("vector_axis"));
  EXPECT_EQ(coreml::value_type(inline_value(plain, "indices"), ""), (TensorType{DType::u4, {64, 64}}));
  EXPECT_EQ(coreml::value_type(inline_value(plain, "lut"), ""), (TensorType{DType::f16, {4, 1, 16, 1}}));
  const spec::Operation& vectors = op("decode", "palette_vector");
  EXPECT_EQ(inline_value(vectors, "vector_axis").immediate().tensor().ints().values(0), 0);
  EXPECT_EQ(coreml::tensor_type(vectors.outputs(0).type(), ""), (TensorType{DType::f16, {64, 64}}));
}

TEST_F(ModelTest, LeavesOutAnOffsetThatAWeightDoesNotHave) {
  EXPECT_EQ(op("init", "blocks_i4").inputs().size(), 2u);
  EXPECT_EQ(op("init", "blocks_u4").inputs().size(), 3u);
}

TEST_F(ModelTest, SharesBlobsBetweenFunctions) {
  for (const char* weight : {"embed", "palette3", "palette_whole"})
    EXPECT_EQ(inline_value(op("init", weight), "indices").blob().offset(),
              inline_value(op("decode", weight), "indices").blob().offset());
  EXPECT_EQ(op("init", "gamma").attributes().at("val").blob().offset(),
            op("decode", "gamma").attributes().at("val").blob().offset());
}

TEST_F(ModelTest, KeepsShortConstantsAndFlagsInTheProgram) {
  EXPECT_TRUE(op("init", "bytes").attributes().at("val").has_blob());
  EXPECT_TRUE(op("init", "ints").attributes().at("val").has_blob());
  EXPECT_FALSE(op("init", "few_bytes").attributes().at("val").has_blob());
  EXPECT_FALSE(op("init", "flags").attributes().at("val").has_blob());
  EXPECT_FALSE(op("encode", "odd1_bias").attributes().at("val").has_blob());
}

TEST_F(ModelTest, StoresTheConstantsBytesBehindTheirRecords) {
  const spec::Value& value = op("init", "ints").attributes().at("val");
  const auto record = coreml::BlobFile(weights_).find(value.blob().offset(), {DType::i32, {12}}, "ints");
  std::int32_t numbers[12];
  ASSERT_EQ(record.size, sizeof numbers);
  const std::string file = read_file(weights_);
  std::memcpy(numbers, file.data() + record.data_offset(), sizeof numbers);
  EXPECT_THAT(numbers, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
}

TEST_F(ModelTest, GivesWriteStateNoResult) {
  for (const spec::Operation& o : body("init").operations()) {
    if (o.type() != "write_state") continue;
    EXPECT_EQ(o.outputs_size(), 0);
    EXPECT_EQ(o.inputs().at("input").bindings(0).name(), "cache");
  }
}

TEST_F(ModelTest, ChoosesVersionAndOpsetByDeploymentTarget) {
  program_.set_deployment("visionOS26");
  const auto package = folder_.path() / "n.mlpackage";
  write_package(program_.c(), package);
  const spec::Model model = coreml::parse_model(package / "Data/com.apple.CoreML/model.mlmodel");
  EXPECT_EQ(model.specification_version(), 10);
  EXPECT_EQ(model.program().functions().at("init").opset(), "CoreML9");
}

}  // namespace
}  // namespace d2c::coreml_writer
