// A scratch folder with recipe files for one test.
#pragma once

#include "host/recipe/recipe.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

namespace d2c::host {

class RecipeFolder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("d2c_recipe_" + std::to_string(getpid()) + "_" + std::string(info->name()));
    std::filesystem::create_directories(folder_);
    // A file as `extends` and relative paths see it.
    folder_ = std::filesystem::canonical(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = folder_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }

  [[nodiscard]] Recipe load(const std::string& name, const std::vector<Override>& overrides = {}) const {
    return load_recipe(folder_ / name, overrides);
  }

  /// The message of the error that loading gives, the folder cut off; "" where it loads.
  [[nodiscard]] std::string error(const std::string& name, const std::vector<Override>& overrides = {}) const {
    try {
      (void)load(name, overrides);
      return {};
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::usage) << e.what();
      return without_folder(e.what());
    }
  }

  [[nodiscard]] std::string without_folder(std::string text) const {
    const std::string prefix = folder_.string() + "/";
    for (std::size_t at = 0; (at = text.find(prefix)) != std::string::npos;) text.erase(at, prefix.size());
    return text;
  }

  static Override set(const std::string& key, const std::string& value) {
    return {key, value, "--set " + key + "=" + value};
  }

  std::filesystem::path folder_;
};

/// One function, so that a recipe is complete.
inline const std::string kFunctionText = R"([graph]
functions = ["decode"]
[[function]]
name = "decode"
plugin = "emitter"
)";

}  // namespace d2c::host
