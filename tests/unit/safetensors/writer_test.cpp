#include "libs/safetensors/writer.hpp"

#include "libs/safetensors/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <vector>

namespace d2c::safetensors {
namespace {

namespace fs = std::filesystem;

class WriteFile : public testing::Test {
 protected:
  WriteFile() { fs::create_directory(folder_); }
  ~WriteFile() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename().string());
    return names;
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / "d2c_writer_test";
  const std::array<float, 6> reals_{1, 2, 3, 4, 5, 6};
  const std::array<std::int32_t, 1> ints_{7};
  const std::vector<NamedTensor> tensors_{{"reals", {DType::f32, {2, 3}}, std::as_bytes(std::span(reals_))},
                                          {"\"odd\" name", {DType::i32, {}}, std::as_bytes(std::span(ints_))},
                                          {"empty", {DType::f16, {0, 4}}, {}}};
};

TEST_F(WriteFile, IsReadBack) {
  write_file(path("x.safetensors"), tensors_, {{"made_by", "a test"}});
  const File file(path("x.safetensors"));
  ASSERT_EQ(file.tensors().size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const Tensor& t = file.tensors()[i];
    EXPECT_EQ(t.name, tensors_[i].name);
    EXPECT_EQ(t.dtype, tensors_[i].type.dtype);
    EXPECT_EQ(t.shape, tensors_[i].type.shape);
    EXPECT_THAT(file.map(t, 0, t.size).bytes, testing::ElementsAreArray(tensors_[i].data));
  }
  EXPECT_EQ(file.metadata().at("made_by"), "a test");
  EXPECT_EQ(file.tensors()[0].offset % 8, 0U);
}

TEST_F(WriteFile, ReplacesAFileAndLeavesNothingElse) {
  std::ofstream(path("x.safetensors")) << "old";
  write_file(path("x.safetensors"), tensors_);
  EXPECT_EQ(File(path("x.safetensors")).tensors().size(), 3U);
  EXPECT_THAT(files(), testing::ElementsAre("x.safetensors"));
}

TEST_F(WriteFile, RefusesWhatDoesNotFitTogether) {
  const NamedTensor short_one{"a", {DType::f32, {3}}, std::as_bytes(std::span(reals_)).first(8)};
  const NamedTensor odd_type{"a", {DType::u4, {2}}, std::as_bytes(std::span(reals_)).first(1)};
  EXPECT_THROW(write_file(path("x"), {&short_one, 1}), Error);
  EXPECT_THROW(write_file(path("x"), {&odd_type, 1}), Error);
  EXPECT_THAT(files(), testing::IsEmpty());
}

TEST_F(WriteFile, NamesAFolderThatIsNotThere) {
  try {
    write_file(path("nowhere/x"), tensors_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::usage);
    EXPECT_THAT(e.what(), testing::HasSubstr("nowhere"));
  }
}

TEST_F(WriteFile, LeavesAFolderInItsPlace) {
  fs::create_directory(path("x"));
  EXPECT_THROW(write_file(path("x"), tensors_), Error);
  EXPECT_THAT(files(), testing::ElementsAre("x"));
}

TEST(FileLayout, PlacesTensorsOneBehindTheOtherAfterAnAlignedHeader) {
  const std::vector<FileLayout::Entry> entries{{"a", {DType::bf16, {3, 5}}}, {"b", {DType::f32, {2}}}};
  const FileLayout layout(entries, {{"format", "pt"}});
  EXPECT_EQ(layout.header().size() % 8, 0u);
  EXPECT_EQ(layout.offset(0), layout.header().size());
  EXPECT_EQ(layout.offset(1), layout.offset(0) + 30);
  EXPECT_EQ(layout.size(), layout.offset(1) + 8);
}

TEST(FileLayout, RefusesANameThatStandsTwice) {
  const std::vector<FileLayout::Entry> entries{{"a", {DType::f16, {1}}}, {"a", {DType::f16, {1}}}};
  EXPECT_THROW(FileLayout{entries}, Error);
}

}  // namespace
}  // namespace d2c::safetensors
