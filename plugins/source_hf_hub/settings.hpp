// What the environment says about the hub: the variables that Hugging Face's own tools read.
#pragma once

#include <filesystem>
#include <string>

namespace d2c::hub {

struct Settings {
  std::string endpoint;         ///< "https://huggingface.co"
  std::filesystem::path cache;  ///< absolute
  std::string token;            ///< empty: none. Goes into a request's header and nowhere else
  std::string token_origin;     ///< where the token was found, or where one would be looked for
  bool offline = false;
  int timeout_seconds = 10;  ///< without a connection, or with next to no bytes
  int attempts = 8;          ///< of one request without progress
};

/// Error(usage) naming the variable that makes no sense.
[[nodiscard]] Settings read_settings();

/// "huggingface.co", with a port where there is one.
[[nodiscard]] std::string host_of(const Settings& settings);

}  // namespace d2c::hub
