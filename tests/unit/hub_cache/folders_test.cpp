#include "libs/hub_cache/folders.hpp"

#include <d2c/error.hpp>

#include <gtest/gtest.h>

#include <cstdlib>

namespace d2c::hub {
namespace {

class Folders : public ::testing::Test {
 protected:
  Folders() {
    for (const char* name : {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_TOKEN_PATH"})
      unsetenv(name);
    setenv("HOME", "/home/me", 1);
  }
};

TEST_F(Folders, AreBelowTheUsersCacheByDefault) {
  EXPECT_EQ(cache_folder(), "/home/me/.cache/huggingface/hub");
  EXPECT_EQ(token_file(), "/home/me/.cache/huggingface/token");
  setenv("XDG_CACHE_HOME", "/caches", 1);
  EXPECT_EQ(cache_folder(), "/caches/huggingface/hub");
}

TEST_F(Folders, FollowTheVariablesThatHuggingFacesToolsRead) {
  setenv("HF_HOME", "~/hf", 1);
  EXPECT_EQ(cache_folder(), "/home/me/hf/hub");
  EXPECT_EQ(token_file(), "/home/me/hf/token");
  setenv("HUGGINGFACE_HUB_CACHE", "/older", 1);
  EXPECT_EQ(cache_folder(), "/older");
  setenv("HF_HUB_CACHE", "/models", 1);
  EXPECT_EQ(cache_folder(), "/models");
  setenv("HF_TOKEN_PATH", "/secrets/token", 1);
  EXPECT_EQ(token_file(), "/secrets/token");
}

TEST_F(Folders, NeedAHomeOrAVariable) {
  unsetenv("HOME");
  EXPECT_THROW((void)cache_folder(), Error);
  setenv("HF_HUB_CACHE", "/models", 1);
  EXPECT_EQ(cache_folder(), "/models");
}

}  // namespace
}  // namespace d2c::hub
