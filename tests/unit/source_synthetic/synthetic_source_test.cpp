#include "plugins/source_synthetic/synthetic_source.hpp"

#include "libs/digest/sha256.hpp"
#include "tests/unit/safetensors/checkpoint_folder.hpp"

#include <d2c/half.hpp>

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace {

using d2c::Config;
using d2c::Error;
using d2c::Shape;
using d2c::TensorInfo;
using d2c::Value;
using d2c::source_synthetic::SyntheticSource;
using d2c::test::CheckpointFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

SyntheticSource open(const std::string& model, std::int64_t seed = 0, std::int64_t layers = 0) {
  return SyntheticSource(Config(Value::Table{{"path", "synthetic:" + model}, {"seed", seed}, {"layers", layers}}));
}

std::size_t index_of(const SyntheticSource& source, std::string_view name) {
  const auto found = std::ranges::find(source.tensors(), name, &TensorInfo::name);
  EXPECT_NE(found, source.tensors().end()) << name;
  return static_cast<std::size_t>(found - source.tensors().begin());
}

std::string bytes_of_rows(const SyntheticSource& source, std::string_view name, std::int64_t first,
                          std::int64_t count) {
  const d2c::View view = source.view(index_of(source, name), first, count);
  return {reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()};
}

std::vector<double> values_of_rows(const SyntheticSource& source, std::string_view name, std::int64_t first,
                                   std::int64_t count) {
  const std::string bytes = bytes_of_rows(source, name, first, count);
  std::vector<std::uint16_t> bits(bytes.size() / 2);
  std::memcpy(bits.data(), bytes.data(), bytes.size());
  std::vector<double> values;
  for (const std::uint16_t b : bits) values.push_back(static_cast<double>(d2c::bf16_to_float(b)));
  return values;
}

std::int64_t parameters(const SyntheticSource& source) {
  std::int64_t sum = 0;
  for (const TensorInfo& t : source.tensors()) sum += d2c::count_of(t.type.shape);
  return sum;
}

constexpr const char* kMatrix = "model.layers.1.mlp.down_proj.weight";
constexpr const char* kNorm = "model.layers.1.input_layernorm.weight";

TEST(SyntheticSource, HasThePublishedNumberOfParameters) {
  EXPECT_EQ(parameters(open("llama3.1-8b")), 8'030'261'248);
  EXPECT_EQ(parameters(open("llama3.1-70b")), 70'553'706'496);
  EXPECT_EQ(parameters(open("llama3.2-3b")), 3'212'749'824);
  EXPECT_EQ(parameters(open("llama3.2-1b")), 1'235'814'400);
  EXPECT_EQ(parameters(open("smollm2-135m")), 134'515'008);
  EXPECT_EQ(parameters(open("dolphin3-llama3.1-8b")), 8'030'261'248 + 2 * 2 * 4096);
}

TEST(SyntheticSource, KeepsAsManyLayersAsAsked) {
  const SyntheticSource source = open("llama3.1-8b", 0, 2);
  EXPECT_EQ(source.config().at("num_hidden_layers").as_int(), 2);
  EXPECT_EQ(source.tensors().size(), 2u * 9 + 3);
  EXPECT_EQ(bytes_of_rows(source, kMatrix, 5, 1), bytes_of_rows(open("llama3.1-8b"), kMatrix, 5, 1));
  EXPECT_THAT([] { open("llama3.1-8b", 0, 33); }, ThrowsMessage<Error>(HasSubstr("layers: 33")));
  EXPECT_THROW(open("llama3.1-8b", 0, -1), Error);
}

TEST(SyntheticSource, AnyRangeOfRowsHoldsTheSameBytes) {
  const SyntheticSource source = open("smollm2-135m");
  const std::string whole = bytes_of_rows(source, kMatrix, 0, 576);
  const std::size_t row = 1536 * 2;
  EXPECT_EQ(bytes_of_rows(source, kMatrix, 17, 3), whole.substr(17 * row, 3 * row));
  EXPECT_EQ(bytes_of_rows(source, kNorm, 100, 7), bytes_of_rows(source, kNorm, 0, 576).substr(200, 14));
  EXPECT_EQ(bytes_of_rows(source, kNorm, 576, 0), "");
}

TEST(SyntheticSource, MakesTheSameBytesOnEveryMachine) {
  const SyntheticSource source = open("smollm2-135m");
  EXPECT_EQ(d2c::sha256_of(bytes_of_rows(source, kMatrix, 0, 576)),
            "96c13cc7ff2a8b74324ab91d7abff1d2b335eb3143e6b6efb7fb7b5a62b6d9b7");
  EXPECT_EQ(d2c::sha256_of(bytes_of_rows(source, kNorm, 0, 576)),
            "0c129d6d36e68e9b0b786482ed6b6b03eb84f3cbb50af7b9d40f960892b8eb7e");
}

TEST(SyntheticSource, SeedTensorAndRowEachChangeTheValues) {
  const SyntheticSource source = open("smollm2-135m");
  const std::string row = bytes_of_rows(source, kMatrix, 0, 1);
  EXPECT_NE(row, bytes_of_rows(source, kMatrix, 1, 1));
  EXPECT_NE(row, bytes_of_rows(source, "model.layers.2.mlp.down_proj.weight", 0, 1));
  EXPECT_NE(row, bytes_of_rows(open("smollm2-135m", 1), kMatrix, 0, 1));
}

TEST(SyntheticSource, RowsAreGaussianWithHeavyTailsAndScalesOfTheirOwn) {
  const SyntheticSource source = open("smollm2-135m");
  constexpr std::int64_t kRows = 576, kColumns = 1536;
  const std::vector<double> all = values_of_rows(source, kMatrix, 0, kRows);
  std::vector<double> scales;
  double within_one = 0, beyond_five = 0, sum = 0;
  for (std::int64_t r = 0; r < kRows; ++r) {
    const std::span<const double> row(all.data() + r * kColumns, kColumns);
    std::vector<double> magnitudes;
    for (const double x : row) magnitudes.push_back(std::abs(x));
    std::ranges::nth_element(magnitudes, magnitudes.begin() + kColumns / 2);
    const double sigma = magnitudes[kColumns / 2] / 0.6745;
    scales.push_back(sigma * std::sqrt(static_cast<double>(kColumns)));
    for (const double x : row) {
      sum += x / sigma;
      within_one += std::abs(x) < sigma;
      beyond_five += std::abs(x) > 5 * sigma;
    }
  }
  const auto n = static_cast<double>(all.size());
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(within_one / n, 0.6827, 0.005);
  EXPECT_NEAR(beyond_five / n, 0.00052, 0.0002);
  std::ranges::sort(scales);
  EXPECT_NEAR(scales[kRows / 2], 1, 0.1);
  EXPECT_NEAR(std::log(scales[kRows * 84 / 100] / scales[kRows / 2]), 0.35, 0.1);
}

TEST(SyntheticSource, NormsLieAroundOne) {
  const std::vector<double> norm = values_of_rows(open("smollm2-135m"), kNorm, 0, 576);
  double sum = 0;
  for (const double x : norm) sum += x;
  EXPECT_NEAR(sum / 576, 1, 0.03);
  EXPECT_GT(*std::ranges::min_element(norm), 0.3);
  EXPECT_LT(*std::ranges::max_element(norm), 1.7);
}

TEST(SyntheticSource, APublishedShapeReadsNoFile) {
  const SyntheticSource source = open("llama3.2-1b");
  EXPECT_THAT(source.files(), IsEmpty());
  EXPECT_THAT(source.assets(), IsEmpty());
  EXPECT_TRUE(source.config().at("tie_word_embeddings").as_bool());
  EXPECT_EQ(source.config().at("rope_scaling").at("factor").as_real(), 32);
}

TEST(SyntheticSource, TakesTheShapeOfAConfigFile) {
  const CheckpointFolder folder;
  folder.write("config.json",
               R"({"model_type":"llama","hidden_size":8,"intermediate_size":12,"vocab_size":10,"num_hidden_layers":1,)"
               R"("num_attention_heads":2,"attention_bias":true,"mlp_bias":true})");
  const SyntheticSource source = open(folder.path("config.json"));
  EXPECT_THAT(source.files(), ElementsAre(folder.path("config.json")));
  EXPECT_EQ(source.tensors()[index_of(source, "model.layers.0.self_attn.k_proj.weight")].type.shape, (Shape{8, 8}));
  EXPECT_EQ(source.tensors()[index_of(source, "model.layers.0.mlp.up_proj.bias")].type.shape, Shape{12});
  for (const double x : values_of_rows(source, "model.layers.0.mlp.up_proj.bias", 0, 12)) EXPECT_LT(std::abs(x), 0.3);
  EXPECT_EQ(source.tensors()[index_of(source, "lm_head.weight")].type.shape, (Shape{10, 8}));
}

TEST(SyntheticSource, RefusesConfigsItCannotServe) {
  const CheckpointFolder folder;
  const auto refusal_of = [&](const std::string& text) {
    folder.write("config.json", text);
    try {
      open(folder.path("config.json"));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), d2c::Code::input);
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  const std::string rest = R"("intermediate_size":12,"vocab_size":10,"num_hidden_layers":1,"num_attention_heads":2})";
  EXPECT_THAT(refusal_of("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal_of(R"({"model_type":"gpt2",)" + rest), HasSubstr("model_type"));
  EXPECT_THAT(refusal_of("{" + rest), HasSubstr("has no hidden_size"));
  for (const char* bad : {"0", "-8", "1e3", "\"8\"", "9223372036854775807", "99999999999999999999"})
    EXPECT_THAT(refusal_of(R"({"hidden_size":)" + std::string(bad) + "," + rest),
                HasSubstr("hidden_size is not an integer"))
        << bad;
  EXPECT_THAT(refusal_of(R"({"hidden_size":8,"head_dim":16777216,)" + rest), HasSubstr("wider than"));
  EXPECT_THAT(refusal_of(R"({"hidden_size":8,"mlp_bias":1,)" + rest), HasSubstr("mlp_bias"));
}

TEST(SyntheticSource, NamesTheKnownShapesWhereOneIsUnknown) {
  EXPECT_THAT([] { open("llama9"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("llama9"), HasSubstr("llama3.2-3b"), HasSubstr("smollm2-135m"))));
  EXPECT_THAT([] { open("/nowhere/config.json"); }, ThrowsMessage<Error>(HasSubstr("/nowhere/config.json")));
}

TEST(SyntheticSource, RefusesRowsATensorDoesNotHave) {
  const SyntheticSource source = open("smollm2-135m");
  EXPECT_THROW((void)source.view(0, 49152, 1), Error);
  EXPECT_THROW((void)source.view(0, -1, 1), Error);
  EXPECT_THROW((void)source.view(0, 1, INT64_MAX), Error);
}

TEST(SyntheticSource, AnswersToItsPrefixAlone) {
  EXPECT_EQ(SyntheticSource::probe("synthetic:llama3.1-8b"), 100);
  EXPECT_EQ(SyntheticSource::probe("/models/synthetic"), 0);
}

}  // namespace
