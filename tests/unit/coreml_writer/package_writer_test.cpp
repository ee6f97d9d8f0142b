#include "plugins/coreml_writer/package_writer.hpp"

#include "tests/unit/coreml_writer/sample_package.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <thread>

namespace d2c::coreml_writer {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// Every file of a folder by its relative path.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder).string()] = read_file(entry.path());
  return files;
}

struct Piece {
  std::size_t weight, plane, offset, size;
};

class PackageWriterTest : public testing::Test {
 protected:
  PackageWriterTest() { fill_sample(program_); }

  CoreMLWriter writer() { return {host_.host(), Config(Value::table())}; }

  std::vector<Piece> pieces(std::size_t step) {
    std::vector<Piece> out;
    const d2c_program& p = program_.c();
    for (std::size_t w = 0; w < p.weight_count; ++w)
      for (std::size_t i = 0; i < p.weights[w].layout->plane_count; ++i) {
        const auto size = static_cast<std::size_t>(TensorType::from_c(p.weights[w].layout->planes[i].type).bytes());
        for (std::size_t at = 0; at < size; at += step) out.push_back({w, i, at, std::min(step, size - at)});
      }
    return out;
  }

  void write(CoreMLWriter& w, const Piece& piece) {
    const auto bytes = plane_bytes(program_.layout(piece.weight).planes[piece.plane],
                                   static_cast<unsigned>(piece.weight * 4 + piece.plane));
    w.write(piece.weight, piece.plane, piece.offset, std::span(bytes).subspan(piece.offset, piece.size));
  }

  fs::path package(const char* name = "a.mlpackage") {
    const fs::path path = folder_.path() / name;
    fs::create_directories(path);
    return path;
  }

  SampleHost host_;
  SampleProgram program_;
  TemporaryFolder folder_;
};

TEST_F(PackageWriterTest, KnowsTheExactFileSizeBeforeAnythingIsWritten) {
  const std::uint64_t planned = writer().plan(program_.c());
  write_package(program_.c(), package());
  EXPECT_EQ(planned, fs::file_size(package() / "Data/com.apple.CoreML/weights/weight.bin"));
}

TEST_F(PackageWriterTest, SaysWhereEachPlaneLies) {
  CoreMLWriter w = writer();
  w.plan(program_.c());
  write_package(program_.c(), package());
  const Blob& blob = w.blob(0, 0);
  EXPECT_EQ(blob.offset, 128u);
  EXPECT_EQ(blob.size, 32u * 64 / 2);
  EXPECT_EQ(w.blob(0, 1).offset, 128u + 1024 + 64);
  const auto expected = plane_bytes(program_.layout(0).planes[0], 0);
  const std::string file = read_file(package() / blob.file);
  EXPECT_EQ(file.substr(blob.offset, blob.size),
            std::string(reinterpret_cast<const char*>(expected.data()), expected.size()));
  EXPECT_THROW((void)w.blob(0, 2), Error);
  EXPECT_THROW((void)w.blob(999, 0), Error);
}

TEST_F(PackageWriterTest, WritesTheSameBytesInAnyOrderAndFromSeveralThreads) {
  write_package(program_.c(), package("a.mlpackage"));

  std::vector<Piece> work = pieces(100);
  std::shuffle(work.begin(), work.end(), std::mt19937(3));
  CoreMLWriter w = writer();
  w.plan(program_.c());
  w.begin(package("b.mlpackage").string());
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < work.size(); i += 4) write(w, work[i]);
    });
  for (std::thread& t : threads) t.join();
  w.sync();
  w.finish(sample_info());

  EXPECT_EQ(contents(package("a.mlpackage")), contents(package("b.mlpackage")));
}

TEST_F(PackageWriterTest, KeepsWhatAnInterruptedAttemptWrote) {
  write_package(program_.c(), package("a.mlpackage"));
  const std::vector<Piece> work = pieces(1000);
  const auto half = static_cast<std::ptrdiff_t>(work.size() / 2);
  {
    CoreMLWriter first = writer();
    first.plan(program_.c());
    first.begin(package("b.mlpackage").string());
    std::for_each(work.begin(), work.begin() + half, [&](const Piece& p) { write(first, p); });
    first.sync();
  }
  write_file(package("b.mlpackage") / "Data/dolphin2coreml/stale.json", "left by an earlier finish");
  CoreMLWriter second = writer();
  second.plan(program_.c());
  second.begin(package("b.mlpackage").string());
  std::for_each(work.begin() + half, work.end(), [&](const Piece& p) { write(second, p); });
  second.finish(sample_info());
  EXPECT_EQ(contents(package("a.mlpackage")), contents(package("b.mlpackage")));
}

TEST_F(PackageWriterTest, LaysOutThePackageAsCoreMLExpectsIt) {
  write_package(program_.c(), package());
  std::vector<std::string> names;
  for (const auto& [name, bytes] : contents(package())) names.push_back(name);
  EXPECT_THAT(names,
              ElementsAre("Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin",
                          "Data/dolphin2coreml/recipe.toml", "Data/dolphin2coreml/tokenizer.json", "Manifest.json"));
}

TEST_F(PackageWriterTest, NeedsNoWeightFileForAProgramWithoutBlobs) {
  SampleProgram small;
  SampleFunction& f = small.function("main_function");
  f.output(f.op("identity", "y", {{"x", {f.input("x", {DType::f32, {2}})}}}, {DType::f32, {2}}));
  CoreMLWriter w = writer();
  EXPECT_EQ(w.plan(small.c()), 0u);
  w.begin(package().string());
  w.sync();
  w.finish(d2c_package_info{sizeof(d2c_package_info), nullptr, nullptr, nullptr, nullptr, nullptr, 0, nullptr, 0});
  EXPECT_EQ(contents(package()).size(), 2u);
}

TEST_F(PackageWriterTest, RefusesToWriteOutsideAPlane) {
  CoreMLWriter w = writer();
  w.plan(program_.c());
  w.begin(package().string());
  const std::vector<std::byte> bytes(16);
  EXPECT_THAT([&] { w.write(0, 0, 1020, bytes); },
              ThrowsMessage<Error>(HasSubstr("weight 'embed', plane 0: bytes 1020+16")));
  EXPECT_THROW(w.write(0, 0, UINT64_MAX, bytes), Error);
  EXPECT_THROW(w.write(0, 7, 0, bytes), Error);
}

TEST_F(PackageWriterTest, RefusesPaddingBitsThatAreNotZero) {
  SampleProgram odd;
  SampleFunction& f = odd.function("f");
  const auto weight = odd.weight("w", {DType::f32, {5, 13}}, palette(DType::f32, {5, 13}, 3, 1));
  const auto x = f.input("x", {DType::f32, {2, 13}});
  f.output(f.op("linear", "y", {{"x", {x}}, {"weight", {odd.use_weight(f, weight)}}}, {DType::f32, {2, 5}}));
  CoreMLWriter w = writer();
  w.plan(odd.c());
  w.begin(package().string());
  const std::vector<std::byte> bytes(25, std::byte{0xff});
  EXPECT_NO_THROW(w.write(0, 0, 0, std::span(bytes).first(24)));
  EXPECT_THAT([&] { w.write(0, 0, 0, bytes); }, ThrowsMessage<Error>(HasSubstr("unused bits")));
}

TEST_F(PackageWriterTest, WantsItsCallsInOrder) {
  CoreMLWriter w = writer();
  EXPECT_THROW((void)w.blob(0, 0), Error);
  EXPECT_THROW(w.begin(package().string()), Error);
  w.plan(program_.c());
  EXPECT_THROW(w.write(0, 0, 0, std::vector<std::byte>(1)), Error);
}

TEST_F(PackageWriterTest, ListsTheTargetsItKnows) {
  program_.set_deployment("iOS17");
  EXPECT_THAT(
      [&] { writer().plan(program_.c()); },
      ThrowsMessage<Error>(HasSubstr("'iOS17' is not one of iOS18, macOS15, visionOS2, iOS26, macOS26, visionOS26")));
}

TEST_F(PackageWriterTest, NamesTheBytesThatADiskLacks) {
  // No file system of a test machine holds 2^50 elements.
  const Shape huge{std::int64_t{1} << 25, std::int64_t{1} << 25};
  SampleProgram p;
  SampleFunction& f = p.function("f");
  const auto x = f.input("x", {DType::f16, {1, huge[1]}});
  const auto weight = p.weight("w", {DType::f16, huge}, dense(DType::f16, huge));
  f.output(f.op("linear", "y", {{"x", {x}}, {"weight", {p.use_weight(f, weight)}}}, {DType::f16, {1, huge[0]}}));
  CoreMLWriter w = writer();
  EXPECT_EQ(w.plan(p.c()), 128u + (std::uint64_t{1} << 51));
  try {
    w.begin(package().string());
    FAIL() << "a disk of 2 PiB?";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::resource);
    EXPECT_THAT(e.what(), HasSubstr("needs 2251799813685376 bytes of disk space"));
  }
}

TEST_F(PackageWriterTest, WarnsAboutAWeightThatNoFunctionUses) {
  program_.weight("lonely", {DType::f16, {16, 16}}, dense(DType::f16, {16, 16}));
  writer().plan(program_.c());
  EXPECT_THAT(host_.log(), ElementsAre("weight 'lonely' is stored but no function uses it"));
}

TEST_F(PackageWriterTest, RefusesAttachmentsThatAreNoPlainFileNames) {
  CoreMLWriter w = writer();
  w.plan(program_.c());
  w.begin(package().string());
  for (const char* name : {"", ".", "..", "../x", "a/b", "a\nb"}) {
    const d2c_attachment attachment{name, "x", 1};
    d2c_package_info info = sample_info();
    info.attachments = &attachment;
    info.attachment_count = 1;
    EXPECT_THROW(w.finish(info), Error) << name;
  }
  const d2c_attachment twice[] = {{"a", "x", 1}, {"a", "y", 1}};
  d2c_package_info info = sample_info();
  info.attachments = twice;
  EXPECT_THAT([&] { w.finish(info); }, ThrowsMessage<Error>(HasSubstr("two attachments are called 'a'")));
}

}  // namespace
}  // namespace d2c::coreml_writer
