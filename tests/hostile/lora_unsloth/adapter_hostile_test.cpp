#include "tests/golden/lora_unsloth/golden_set.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <random>

namespace d2c::lora::testing {
namespace {

using ::testing::HasSubstr;

/// A copy of a reference adapter whose config and weights a test damages.
class AdapterFolder {
 public:
  explicit AdapterFolder(const std::string& original)
      : path_(fs::temp_directory_path() / ("d2c_hostile_" + std::to_string(std::random_device()()))) {
    fs::copy(fs::path(D2C_SOURCE_DIR) / "tests/data/lora_unsloth/adapters" / original, path_);
  }
  ~AdapterFolder() { fs::remove_all(path_); }
  AdapterFolder(const AdapterFolder&) = delete;
  AdapterFolder& operator=(const AdapterFolder&) = delete;

  void set(const std::string& key, Value value) const {
    Value config = json::parse_file((path_ / "adapter_config.json").string());
    config.set(key, std::move(value));
    std::ofstream(path_ / "adapter_config.json") << json::dump(config);
  }
  [[nodiscard]] fs::path weights() const { return path_ / "adapter_model.safetensors"; }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

Model base(const std::string& name = "base_bf16") {
  return Model(fs::path(D2C_SOURCE_DIR) / "tests/data/lora_unsloth/models" / name);
}

std::string outcome(const Config& options, const Model& model) {
  RecordingHost host;
  try {
    LoraUnsloth merger(host.host(), options);
    merger.bind(model.base);
    return "accepted";
  } catch (const Error& e) {
    return e.what();
  }
}

std::string outcome(const AdapterFolder& folder, double weight = 1) {
  return outcome(stack_options({{folder.path(), weight}}), base());
}

TEST(HostileAdapter, SurvivesAFileCutAnywhere) {
  const AdapterFolder folder("minimal_adapter_config");
  const std::uintmax_t size = fs::file_size(folder.weights());
  for (std::uintmax_t cut = size - 1; cut > 0; cut = cut * 9 / 10) {
    fs::resize_file(folder.weights(), cut);
    EXPECT_NE(outcome(folder), "accepted") << cut;
  }
}

TEST(HostileAdapter, SurvivesDamagedHeaders) {
  const AdapterFolder folder("minimal_adapter_config");
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::fstream file(folder.weights(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(random() % 600));
    file.put(static_cast<char>(random() % 256));
    file.close();
    (void)outcome(folder);
  }
}

TEST(HostileAdapter, RefusesTokensOutsideTheVocabularyAndRepeatedOnes) {
  const AdapterFolder folder("trainable_tokens_untied");
  folder.set("trainable_token_indices", Value::List{5, 9, 256});
  EXPECT_THAT(outcome(folder), HasSubstr("token 256 is outside"));
  folder.set("trainable_token_indices", Value::List{5, 9, 9});
  EXPECT_THAT(outcome(folder), HasSubstr("token 9 stands twice"));
}

TEST(HostileAdapter, RefusesAScalingBeyondFp32) {
  const AdapterFolder folder("minimal_adapter_config");
  folder.set("lora_alpha", 1e300);
  EXPECT_THAT(outcome(folder), HasSubstr("beyond the range of fp32"));
}

TEST(HostileAdapter, RefusesAFractionOfWhatHasNone) {
  EXPECT_THAT(outcome(AdapterFolder("modules_to_save_norm"), 0.5), HasSubstr("use weight 1"));
  EXPECT_EQ(outcome(AdapterFolder("minimal_adapter_config"), 0.5), "accepted");
}

TEST(HostileAdapter, RefusesASmallerVocabulary) {
  const AdapterFolder folder("embedding_lora_untied");
  EXPECT_THAT(outcome(stack_options({{folder.path(), 1}}), base("base_tied_fp16")), HasSubstr("expected [288,"));
}

TEST(HostileAdapter, RefusesUnsupportedCombinationsByName) {
  const AdapterFolder folder("minimal_adapter_config");
  EXPECT_THAT(outcome(stack_options({{folder.path(), 1}}, "linear_svd"), base()), HasSubstr("none of sequential"));
  EXPECT_THAT(outcome(stack_options({{folder.path(), 1}}, "sum"), base()), HasSubstr("none of sequential"));
  EXPECT_THAT(outcome(stack_options({}), base()), HasSubstr("empty"));
  EXPECT_THAT(outcome(stack_options({{folder.path(), std::nan("")}}), base()), HasSubstr("finite"));
}

TEST(HostileAdapter, RefusesToJoinReplacedWeightsWithCat) {
  const AdapterFolder folder("modules_to_save_norm");
  EXPECT_THAT(outcome(stack_options({{folder.path(), 1}}, "cat"), base()), HasSubstr("plain low-rank adapters only"));
}

TEST(HostileAdapter, RefusesTilesOutsideTheTensor) {
  RecordingHost host;
  const AdapterFolder folder("minimal_adapter_config");
  LoraUnsloth merger(host.host(), stack_options({{folder.path(), 1}}));
  merger.bind(base().base);
  const auto job = merger.begin("model.layers.0.self_attn.q_proj.weight");
  std::vector<float> row(64);
  EXPECT_THROW(job->process(64, 1, row), Error);
  EXPECT_THROW(job->process(-1, 1, row), Error);
  EXPECT_THROW(job->process(0, 2, row), Error);
  EXPECT_THROW((void)merger.begin("model.norm.weight"), Error);
}

}  // namespace
}  // namespace d2c::lora::testing
