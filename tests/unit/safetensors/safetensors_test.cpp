#include "libs/safetensors/safetensors.hpp"

#include "tests/unit/safetensors/checkpoint_folder.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

namespace {

using d2c::DType;
using d2c::Error;
using d2c::Shape;
using d2c::View;
using d2c::safetensors::File;
using d2c::safetensors::Tensor;
using d2c::test::CheckpointFolder;
using d2c::test::safetensors_bytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

constexpr const char* kReference = "tests/data/safetensors/reference.safetensors";

template <class T>
std::vector<T> values(std::span<const std::byte> bytes) {
  std::vector<T> out(bytes.size() / sizeof(T));
  std::ranges::copy(bytes, std::as_writable_bytes(std::span(out)).begin());
  return out;
}

template <class T>
std::vector<T> mapped(const File& file, const char* name) {
  const Tensor& tensor = *file.find(name);
  return values<T>(file.map(tensor, 0, tensor.size).bytes);
}

/// Resident pages of this process.
std::size_t resident_pages() {
  std::size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident;
}

TEST(SafetensorsFile, ReadsWhatTheReferenceImplementationWrote) {
  const File file(kReference);
  EXPECT_THAT(mapped<float>(file, "f32"), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(mapped<std::uint16_t>(file, "bf16"), ElementsAre(0, 0x3f80, 0x4000, 0x4040));
  EXPECT_THAT(mapped<std::uint16_t>(file, "f16"), ElementsAre(0, 0x3c00, 0x4000));
  EXPECT_THAT(mapped<std::int64_t>(file, "i64"), ElementsAre(-5));
  EXPECT_THAT(mapped<std::uint8_t>(file, "u8"), ElementsAre(1, 2, 255));
  EXPECT_THAT(mapped<float>(file, "scalar"), ElementsAre(7));
  EXPECT_THAT(mapped<float>(file, "empty"), IsEmpty());
  EXPECT_EQ(file.find("f32")->shape, (Shape{2, 3}));
  EXPECT_EQ(file.find("scalar")->shape, Shape{});
  EXPECT_EQ(file.find("bool")->dtype, DType::boolean);
  EXPECT_EQ(file.metadata().at("made_by"), "safetensors");
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST(SafetensorsFile, ListsATypeItCannotReadAndRefusesItWhenAsked) {
  const File file(kReference);
  const Tensor& tensor = *file.find("f8");
  EXPECT_EQ(tensor.stored_dtype, "F8_E4M3");
  EXPECT_EQ(tensor.dtype, DType::none);
  EXPECT_THAT([&] { (void)tensor.require_dtype(file.path()); },
              ThrowsMessage<Error>(HasSubstr("tensor 'f8' is stored as F8_E4M3")));
}

TEST(SafetensorsFile, CopiesAWindowOfATensor) {
  const File file(kReference);
  std::array<std::byte, 8> out{};
  file.read(*file.find("f32"), 8, out);
  EXPECT_THAT(values<float>(out), ElementsAre(2, 3));
}

TEST(SafetensorsFile, RefusesAWindowBeyondTheTensor) {
  const File file(kReference);
  const Tensor& tensor = *file.find("f32");
  EXPECT_THROW((void)file.map(tensor, 20, 8), Error);
  EXPECT_THROW((void)file.map(tensor, ~std::uint64_t{0}, 2), Error);
  EXPECT_THROW((void)file.map(tensor, 2, ~std::uint64_t{0}), Error);
}

TEST(SafetensorsFile, AViewOutlivesItsFile) {
  std::optional<File> file(kReference);
  const Tensor tensor = *file->find("f32");
  const View view = file->map(tensor, 0, tensor.size);
  file.reset();
  EXPECT_THAT(values<float>(view.bytes), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(SafetensorsFile, SurvivesBeingMoved) {
  File first(kReference);
  File second(std::move(first));
  first = std::move(second);
  EXPECT_THAT(mapped<std::uint8_t>(first, "u8"), ElementsAre(1, 2, 255));
}

TEST(SafetensorsFile, AlignsWhatTheFileMisaligns) {
  const CheckpointFolder folder;
  const std::string header = R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  const float numbers[] = {1.5f, -2.5f};
  const File file(
      folder.write("f", safetensors_bytes(header, "x" + std::string(reinterpret_cast<const char*>(numbers), 8))));
  const View view = file.map(*file.find("w"), 0, 8);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.bytes.data()) % sizeof(float), 0u);
  EXPECT_THAT(values<float>(view.bytes), ElementsAre(1.5f, -2.5f));
}

TEST(SafetensorsFile, GivesMemoryBackWhenAViewGoes) {
  constexpr std::size_t kSize = 64u << 20;
  const CheckpointFolder folder;
  const std::string size = std::to_string(kSize);
  folder.write("f",
               safetensors_bytes(R"({"w":{"dtype":"U8","shape":[)" + size + R"(],"data_offsets":[0,)" + size + "]}}",
                                 std::string(kSize, 'x')));
  const File file(folder.path("f"));
  const std::size_t before = resident_pages();
  for (std::size_t window = 0; window < 64; ++window) {
    const View view = file.map(*file.find("w"), window << 20, 1u << 20);
    std::size_t sum = 0;
    for (const std::byte b : view.bytes) sum += std::to_integer<std::size_t>(b);
    ASSERT_EQ(sum, view.bytes.size() * 'x');
  }
  EXPECT_LE(resident_pages(), before + (16u << 20) / 4096);
}

TEST(SafetensorsFile, NoticesThatItsFileBecameShorter) {
  const CheckpointFolder folder;
  const std::string path =
      folder.write("f", safetensors_bytes(R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "abcd"));
  const File file(path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 2);
  std::array<std::byte, 4> out;
  EXPECT_THAT([&] { (void)file.map(*file.find("w"), 0, 4); }, ThrowsMessage<Error>(HasSubstr("became shorter")));
  EXPECT_THAT([&] { file.read(*file.find("w"), 0, out); }, ThrowsMessage<Error>(HasSubstr("became shorter")));
}

TEST(SafetensorsHeader, OrdersTensorsByTheirBytes) {
  const CheckpointFolder folder;
  const std::string header = R"({"late":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
                             R"("empty":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},)"
                             R"("early":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}   )";
  const File file(folder.write("f", safetensors_bytes(header, "ab")));
  std::vector<std::string> names;
  for (const Tensor& t : file.tensors()) names.push_back(t.name);
  EXPECT_THAT(names, ElementsAre("early", "empty", "late"));
  EXPECT_EQ(file.find("late")->offset, 8 + header.size() + 1);
}

TEST(SafetensorsHeader, AcceptsAFileWithoutTensors) {
  const CheckpointFolder folder;
  EXPECT_THAT(File(folder.write("f", safetensors_bytes("{}"))).tensors(), IsEmpty());
}

}  // namespace
