// Where Hugging Face's tools keep what they download, by the environment variables they read.
#pragma once

#include <filesystem>
#include <string>

namespace d2c::hub {

/// An environment variable's value, empty where it is not set.
[[nodiscard]] std::string environment(const char* name);

/// HF_HOME, else XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface. Error(usage) where HOME is needed and not set.
[[nodiscard]] std::filesystem::path home_folder();

/// The cache of models: HF_HUB_CACHE, else HF_HOME/hub. Absolute; it need not exist.
[[nodiscard]] std::filesystem::path cache_folder();

/// The file of the access token: HF_TOKEN_PATH, else HF_HOME/token.
[[nodiscard]] std::filesystem::path token_file();

}  // namespace d2c::hub
