// Which files of a repository are wanted. Pickles never are, whatever they are called.
#pragma once

#include <d2c/plugin.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace d2c::hub {

inline constexpr const char* kIndex = "model.safetensors.index.json";

/// JSON and tokenizer files among `files`.
[[nodiscard]] std::vector<std::string> small_files(const std::vector<std::string>& files);

/// The safetensors files among `files` that make up the model or the adapter. `snapshot` holds the small files. Error(input)
/// naming `what` where there is no such thing: only a pickle, a GGUF, an adapter in place of a model.
[[nodiscard]] std::vector<std::string> weight_files(const std::vector<std::string>& files, d2c_fetch_purpose purpose,
                                                    const std::filesystem::path& snapshot, const std::string& what);

}  // namespace d2c::hub
