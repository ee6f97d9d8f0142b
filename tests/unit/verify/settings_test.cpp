#include "host/verify/settings.hpp"

#include "host/recipe/recipe.hpp"

#include <d2c/error.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <fstream>

namespace d2c::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class VerifySettingsTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  Value defaults() { return load_recipe("configs/base.toml", {}).verify; }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("verify-settings-" + std::to_string(getpid()));
};

TEST_F(VerifySettingsTest, HaveBuiltInPromptsAndSentences) {
  const VerifySettings s = VerifySettings::parse(defaults());
  EXPECT_THAT(s.prompts, SizeIs(3));
  EXPECT_THAT(s.sentences, SizeIs(6));
  EXPECT_EQ(s.min_cosine, 0.99);
  EXPECT_FALSE(s.max_logit_error);
  EXPECT_EQ(s.text, "");
}

TEST_F(VerifySettingsTest, AGoldenConfigReplacesWhatItSays) {
  const auto file = write("golden.toml", "[verify]\nprompts = [\"Hello\"]\nmax_logit_error = 1e-6\n");
  const VerifySettings s = VerifySettings::parse(with_golden_config(defaults(), file));
  EXPECT_THAT(s.prompts, ElementsAre("Hello"));
  EXPECT_THAT(s.sentences, SizeIs(6));
  EXPECT_EQ(s.max_logit_error, 1e-6);
}

TEST_F(VerifySettingsTest, ATextLiesBesideTheGoldenConfigThatNamesIt) {
  const auto text = write("prose.txt", "Once upon a time.");
  const auto file = write("golden.toml", "[verify]\ntext = \"prose.txt\"\n");
  EXPECT_EQ(VerifySettings::parse(with_golden_config(defaults(), file)).text,
            std::filesystem::canonical(text).string());
}

TEST_F(VerifySettingsTest, AGoldenConfigIsCheckedLikeARecipe) {
  const auto message = [&](const std::string& text) {
    try {
      (void)with_golden_config(defaults(), write("golden.toml", text));
      return std::string("accepted");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::usage);
      return std::string(e.what());
    }
  };
  EXPECT_THAT(message("[verify]\npromts = []\n"), HasSubstr("golden.toml:2:1: unknown key 'promts'"));
  EXPECT_THAT(message("[verify]\nmin_cosine = 2\n"), HasSubstr("at most 1"));
  EXPECT_THAT(message("prompts = []\n"), HasSubstr("unknown key"));
  EXPECT_THAT(message("schema = 1\n"), HasSubstr("has no [verify]"));
}

}  // namespace
}  // namespace d2c::host
