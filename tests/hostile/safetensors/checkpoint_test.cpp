#include "plugins/source_safetensors/safetensors_source.hpp"
#include "tests/unit/safetensors/checkpoint_folder.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <utility>

namespace {

using d2c::Code;
using d2c::Config;
using d2c::Error;
using d2c::Value;
using d2c::source_safetensors::SafetensorsSource;
using d2c::test::CheckpointFolder;
using d2c::test::safetensors_bytes;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string one_tensor(const std::string& name) {
  return safetensors_bytes("{\"" + name + R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "ab");
}

/// A valid sharded checkpoint: tensor "a" in the first shard, "b" in the second.
class BrokenCheckpoint : public ::testing::Test {
 protected:
  BrokenCheckpoint() {
    folder.write("config.json", R"({"model_type":"llama"})");
    folder.write("s1.safetensors", one_tensor("a"));
    folder.write("s2.safetensors", one_tensor("b"));
    write_index(R"("a":"s1.safetensors","b":"s2.safetensors")");
  }

  void write_index(const std::string& weight_map) const {
    folder.write("model.safetensors.index.json",
                 R"({"metadata":{"total_size":999},"weight_map":{)" + weight_map + "}}");
  }
  void remove(const std::string& name) const { std::filesystem::remove_all(folder.path(name)); }

  [[nodiscard]] std::string refusal(const std::string& path = {}) const {
    try {
      const SafetensorsSource source(Config(Value::Table{{"path", path.empty() ? folder.path() : path}}));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::input) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "accepted";
    return {};
  }

  CheckpointFolder folder;
};

TEST_F(BrokenCheckpoint, AnIndexNamingAFileOutsideTheFolderIsRefused) {
  for (const std::string name :
       {"../s1.safetensors", "/etc/s1.safetensors", "sub/s1.safetensors", "..", "", "sub\\\\s1.safetensors"}) {
    write_index(R"("a":")" + name + R"(","b":"s2.safetensors")");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("index.json"), HasSubstr("'a'"), HasSubstr("no plain file name")));
  }
}

TEST_F(BrokenCheckpoint, AnIndexNamingAnotherKindOfFileIsRefused) {
  write_index(R"("a":"config.json","b":"s2.safetensors")");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'a'"), HasSubstr("'config.json'"), HasSubstr("no .safetensors file")));
}

TEST_F(BrokenCheckpoint, AMissingShardIsNamedWithTheRemedy) {
  remove("s2.safetensors");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("index.json"), HasSubstr("'b'"), HasSubstr("s2.safetensors, which is missing"),
                               HasSubstr("complete the download")));
}

TEST_F(BrokenCheckpoint, AShardWithoutItsTensorIsNamed) {
  write_index(R"("a":"s1.safetensors","b":"s1.safetensors")");
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("index.json"), HasSubstr("'b'"), HasSubstr("s1.safetensors, which does not hold it")));
}

TEST_F(BrokenCheckpoint, ATensorThatTheIndexForgotIsNamed) {
  folder.write(
      "s2.safetensors",
      safetensors_bytes(
          R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          "ab"));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("does not list tensor 'c'"), HasSubstr("s2.safetensors")));
}

TEST_F(BrokenCheckpoint, ATensorInTwoShardsIsNamed) {
  folder.write(
      "s2.safetensors",
      safetensors_bytes(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          "ab"));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'a' is in s2.safetensors and in s1.safetensors")));
}

TEST_F(BrokenCheckpoint, ADamagedShardIsNamed) {
  folder.write("s2.safetensors", one_tensor("b").substr(0, 40));
  EXPECT_THAT(refusal(), HasSubstr("s2.safetensors: the header"));
}

TEST_F(BrokenCheckpoint, AnIndexOfAnotherShapeIsRefused) {
  for (const char* text : {"{}", "[]", R"({"weight_map":[]})", R"({"weight_map":{}})", R"({"weight_map":{"a":1}})", "",
                           R"({"weight_map":{"a":"x","a":"y"}})"}) {
    folder.write("model.safetensors.index.json", text);
    EXPECT_THAT(refusal(), HasSubstr("index.json")) << text;
  }
}

TEST_F(BrokenCheckpoint, AFifoInPlaceOfAnyFileIsRefusedWithoutWaiting) {
  const std::pair<const char*, std::string> files[] = {
      {"s1.safetensors", one_tensor("a")},
      {"tokenizer.json", "{}"},
      {"model.safetensors.index.json", R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors"}})"},
      {"config.json", "{}"}};
  for (const auto& [name, valid] : files) {
    remove(name);
    ASSERT_EQ(::mkfifo(folder.path(name).c_str(), 0600), 0);
    EXPECT_THAT(refusal(), AllOf(HasSubstr(name), HasSubstr("not a regular file")));
    remove(name);
    folder.write(name, valid);
  }
}

TEST_F(BrokenCheckpoint, ALinkToNothingIsAMissingShard) {
  remove("s2.safetensors");
  std::filesystem::create_symlink("../blobs/none", folder.path("s2.safetensors"));
  EXPECT_THAT(refusal(), HasSubstr("missing"));
}

TEST_F(BrokenCheckpoint, WithoutConfigIsRefused) {
  remove("config.json");
  EXPECT_THAT(refusal(), HasSubstr("has no config.json"));
  EXPECT_THAT(refusal(folder.path("s1.safetensors")), HasSubstr("has no config.json"));
}

TEST_F(BrokenCheckpoint, AConfigThatIsNoObjectIsRefused) {
  folder.write("config.json", "[1]");
  EXPECT_THAT(refusal(), HasSubstr("config.json: is not a JSON object"));
}

TEST_F(BrokenCheckpoint, QuantizedWeightsAreRefusedByTheirMethod) {
  folder.write("config.json", R"({"quantization_config":{"quant_method":"bitsandbytes","load_in_4bit":true}})");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("bitsandbytes"), HasSubstr("use the unquantized checkpoint")));
  folder.write("config.json", R"({"quantization_config":7})");
  EXPECT_THAT(refusal(), HasSubstr("an unnamed method"));
}

TEST_F(BrokenCheckpoint, PickleAloneIsRefusedWithTheWayToConvert) {
  remove("model.safetensors.index.json");
  remove("s1.safetensors");
  remove("s2.safetensors");
  folder.write("pytorch_model.bin", "x");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("safe_serialization=True")));
  EXPECT_EQ(SafetensorsSource::probe(folder.path().c_str()), 50);
}

TEST_F(BrokenCheckpoint, AnAdapterIsSentToTheRightOption) {
  remove("model.safetensors.index.json");
  folder.write("adapter_config.json", "{}");
  EXPECT_THAT(refusal(), HasSubstr("holds a LoRA adapter"));
}

TEST_F(BrokenCheckpoint, OtherNamesAreOffered) {
  remove("model.safetensors.index.json");
  EXPECT_THAT(refusal(), HasSubstr("pass " + folder.path("s1.safetensors")));
}

TEST_F(BrokenCheckpoint, NothingAtAllIsRefused) {
  EXPECT_THAT(refusal(folder.path("absent")), HasSubstr("no such file"));
}

}  // namespace
