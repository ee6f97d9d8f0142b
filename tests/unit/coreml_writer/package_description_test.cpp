#include "plugins/coreml_writer/package_description.hpp"

#include "libs/json/json.hpp"
#include "plugins/coreml_writer/package_reader.hpp"
#include "tests/unit/coreml_writer/sample_package.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::coreml_writer {
namespace {

class DescriptionTest : public testing::Test {
 protected:
  DescriptionTest() : package_(folder_.path() / "p.mlpackage") {
    fill_sample(program_);
    write_package(program_.c(), package_);
    description_ = describe_package(package_);
  }

  [[nodiscard]] const Value& weight(std::string_view name) const {
    for (const Value& w : description_.at("weights").items())
      if (w.at("name").as_text() == name) return w;
    throw std::out_of_range(std::string(name));
  }

  SampleProgram program_;
  TemporaryFolder folder_;
  std::filesystem::path package_;
  Value description_;
};

TEST_F(DescriptionTest, TellsWhatThePackageIs) {
  EXPECT_EQ(description_.at("format").as_text(), "mlpackage");
  EXPECT_EQ(description_.at("specification_version").as_int(), 9);
  EXPECT_EQ(description_.at("default_function").as_text(), "decode");
  EXPECT_EQ(description_.at("license").as_text(), "Apache-2.0");
  EXPECT_EQ(description_.at("metadata").at("d2c.stop_tokens").as_text(), "[1,2]");
  EXPECT_EQ(description_.at("items").items().size(), 4u);
}

TEST_F(DescriptionTest, ListsFeaturesWithTheirTypes) {
  const Value& decode = description_.at("functions").items().at(1);
  EXPECT_EQ(json::dump(decode.at("inputs")), R"([{"name":"input_ids","type":"int32[1,1]"}])");
  EXPECT_EQ(json::dump(decode.at("states")), R"([{"name":"cache","type":"fp16[1,1,64]"}])");
  EXPECT_EQ(json::dump(decode.at("outputs")), R"([{"name":"logits","type":"fp16[1,1,64]"}])");
  const Value& encode = description_.at("functions").items().at(2);
  EXPECT_EQ(json::dump(encode.at("inputs").items()[1]), R"({"name":"scale","type":"fp32[1]"})");
}

TEST_F(DescriptionTest, CountsOpsWithoutConstants) {
  const Value& encode = description_.at("functions").items().at(2);
  EXPECT_EQ(encode.at("ops").as_int(), 9);
  EXPECT_EQ(encode.at("op_counts").at("linear").as_int(), 6);
  EXPECT_EQ(encode.at("op_counts").at("constexpr_lut_to_dense").as_int(), 6);
}

TEST_F(DescriptionTest, TellsHowEachWeightIsStored) {
  EXPECT_EQ(
      json::dump(weight("palette4")),
      R"({"name":"palette4","shape":[64,64],"scheme":"palette","bits":4,"group_size":16,"bytes":2176,"functions":["init","decode"]})");
  EXPECT_EQ(json::dump(weight("palette_whole").at("group_size")), "0");
  EXPECT_EQ(
      json::dump(weight("blocks_u4")),
      R"({"name":"blocks_u4","shape":[64,64],"scheme":"blockwise","bits":4,"group_size":32,"bytes":2368,"functions":["init","decode"]})");
  EXPECT_EQ(weight("dense").at("scheme").as_text(), "dense");
  EXPECT_EQ(weight("odd3").at("bytes").as_int(), 25 + 8 * 4);
}

TEST_F(DescriptionTest, CountsSharedBlobsOnce) {
  std::int64_t bytes = 0;
  for (const Value& w : description_.at("weights").items()) bytes += w.at("bytes").as_int();
  const std::int64_t file = description_.at("weight_bytes").as_int();
  EXPECT_EQ(file, static_cast<std::int64_t>(
                      std::filesystem::file_size(package_ / "Data/com.apple.CoreML/weights/weight.bin")));
  EXPECT_LT(bytes, file);
  EXPECT_GT(bytes, file - 128 * 60);
}

TEST_F(DescriptionTest, IsSureOfAPackageAndOfNothingElse) {
  EXPECT_EQ(CoreMLReader::probe(package_.c_str()), 100);
  EXPECT_EQ(CoreMLReader::probe(folder_.path().c_str()), 0);
  EXPECT_EQ(CoreMLReader::probe((package_ / "Manifest.json").c_str()), 0);
  EXPECT_EQ(CoreMLReader::probe("/nowhere"), 0);
}

}  // namespace
}  // namespace d2c::coreml_writer
