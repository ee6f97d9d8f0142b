#include "plugins/source_safetensors/safetensors_source.hpp"
#include "tests/unit/safetensors/checkpoint_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>

namespace {

using d2c::Asset;
using d2c::Code;
using d2c::Config;
using d2c::DType;
using d2c::Error;
using d2c::Shape;
using d2c::TensorInfo;
using d2c::Value;
using d2c::source_safetensors::SafetensorsSource;
using d2c::test::CheckpointFolder;
using d2c::test::safetensors_bytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

SafetensorsSource open(const std::string& path) { return SafetensorsSource(Config(Value::Table{{"path", path}})); }

std::string text_of(const SafetensorsSource& source, std::size_t tensor, std::int64_t first, std::int64_t count) {
  const d2c::View view = source.view(tensor, first, count);
  return {reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()};
}

/// A 3x2 fp16 matrix "w" of the bytes "a0a1b0b1c0c1", an int buffer "ids", an 8-bit float "q" and a scalar "s".
const std::string kWeights = safetensors_bytes(
    R"({"w":{"dtype":"F16","shape":[3,2],"data_offsets":[0,12]},"ids":{"dtype":"I64","shape":[1],"data_offsets":[12,20]},)"
    R"("q":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[20,22]},"s":{"dtype":"BF16","shape":[],"data_offsets":[22,24]}})",
    "a0a1b0b1c0c1IIIIIIIIqqss");

class SingleFile : public ::testing::Test {
 protected:
  SingleFile() {
    folder.write("config.json", R"({"model_type":"llama","hidden_size":2})");
    folder.write("model.safetensors", kWeights);
  }
  CheckpointFolder folder;
};

TEST_F(SingleFile, DeliversTheRowsAskedFor) {
  const SafetensorsSource source = open(folder.path());
  EXPECT_EQ(text_of(source, 0, 0, 3), "a0a1b0b1c0c1");
  EXPECT_EQ(text_of(source, 0, 1, 2), "b0b1c0c1");
  EXPECT_EQ(text_of(source, 0, 3, 0), "");
  EXPECT_EQ(text_of(source, 3, 0, 1), "ss");
}

TEST_F(SingleFile, RefusesRowsItDoesNotHave) {
  const SafetensorsSource source = open(folder.path());
  EXPECT_THROW((void)source.view(0, 2, 2), Error);
  EXPECT_THROW((void)source.view(0, -1, 1), Error);
  EXPECT_THROW((void)source.view(0, 1, INT64_MAX), Error);
  EXPECT_THROW((void)source.view(99, 0, 1), std::out_of_range);
}

TEST_F(SingleFile, ListsTensorsNobodyNeedsToReadAndRefusesOnlyReadingThem) {
  const SafetensorsSource source = open(folder.path());
  ASSERT_EQ(source.tensors().size(), 4u);
  EXPECT_EQ(source.tensors()[0].type, (d2c::TensorType{DType::f16, {3, 2}}));
  EXPECT_EQ(source.tensors()[1].type.dtype, DType::i64);
  EXPECT_EQ(source.tensors()[2].type.dtype, DType::none);
  EXPECT_THAT([&] { (void)source.view(2, 0, 1); }, ThrowsMessage<Error>(HasSubstr("tensor 'q' is stored as F8_E4M3")));
}

TEST_F(SingleFile, GivesTheConfigAndTheFilesItReads) {
  folder.write("tokenizer.json", "{ }");
  folder.write("chat_template.jinja", "{{ x }}");
  const SafetensorsSource source = open(folder.path());
  EXPECT_EQ(source.config().at("hidden_size").as_int(), 2);
  EXPECT_THAT(source.files(), ElementsAre(folder.path("model.safetensors"), folder.path("config.json"),
                                          folder.path("tokenizer.json"), folder.path("chat_template.jinja")));
  std::vector<std::string> names;
  for (const Asset& asset : source.assets()) names.push_back(asset.name);
  EXPECT_THAT(names, ElementsAre("config.json", "tokenizer.json", "chat_template.jinja"));
  EXPECT_EQ(source.assets()[1].data, "{ }");
}

TEST_F(SingleFile, MayBeGivenByItsOwnNameAndByARelativePath) {
  EXPECT_EQ(text_of(open(folder.path("model.safetensors")), 0, 0, 1), "a0a1");
  const SafetensorsSource source = open(std::filesystem::relative(folder.path()).string());
  EXPECT_TRUE(std::filesystem::path(source.files().front()).is_absolute());
}

TEST_F(SingleFile, IsPreferredToAnIndexBesideIt) {
  folder.write("model.safetensors.index.json", R"({"weight_map":{"w":"absent.safetensors"}})");
  EXPECT_EQ(open(folder.path()).tensors().size(), 4u);
}

TEST_F(SingleFile, ProbesByWhatIsThere) {
  EXPECT_EQ(SafetensorsSource::probe(folder.path().c_str()), 90);
  EXPECT_EQ(SafetensorsSource::probe(folder.path("model.safetensors").c_str()), 80);
  EXPECT_EQ(SafetensorsSource::probe(folder.path("config.json").c_str()), 0);
  EXPECT_EQ(SafetensorsSource::probe("/nowhere"), 0);
  EXPECT_EQ(SafetensorsSource::probe("meta-llama/Llama-3.1-8B"), 0);
  const CheckpointFolder empty;
  EXPECT_EQ(SafetensorsSource::probe(empty.path().c_str()), 0);
}

/// Shards as Hugging Face's cache keeps them: a snapshot of links into a folder of blobs.
class Sharded : public ::testing::Test {
 protected:
  Sharded() {
    std::filesystem::create_directories(folder.path("snapshot"));
    std::filesystem::create_directories(folder.path("blobs"));
    folder.write("snapshot/config.json", "{}");
    folder.write("snapshot/model.safetensors.index.json",
                 R"({"metadata":{"total_size":1},"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors"}})");
    add_shard("m-1.safetensors", "b");
    add_shard("m-2.safetensors", "a");
  }
  void add_shard(const std::string& name, const std::string& tensor) const {
    folder.write(
        "blobs/" + tensor,
        safetensors_bytes("{\"" + tensor + R"(":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", tensor + tensor));
    std::filesystem::create_symlink("../blobs/" + tensor, folder.path("snapshot/" + name));
  }
  CheckpointFolder folder;
};

TEST_F(Sharded, ReadsEveryTensorFromItsShardAndIgnoresAWrongTotal) {
  const SafetensorsSource source = open(folder.path("snapshot"));
  ASSERT_EQ(source.tensors().size(), 2u);
  EXPECT_EQ(source.tensors()[0].name, "b");
  EXPECT_EQ(source.tensors()[1].name, "a");
  EXPECT_EQ(source.files()[source.tensors()[1].file], folder.path("snapshot/m-2.safetensors"));
  EXPECT_EQ(source.files()[2], folder.path("snapshot/model.safetensors.index.json"));
  EXPECT_EQ(text_of(source, 0, 0, 1), "bb");
  EXPECT_EQ(text_of(source, 1, 0, 1), "aa");
}

}  // namespace
