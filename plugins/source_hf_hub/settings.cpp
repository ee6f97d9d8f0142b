#include "plugins/source_hf_hub/settings.hpp"

#include "libs/hub_cache/folders.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <iterator>

namespace d2c::hub {
namespace {

constexpr const char* kEndpoint = "https://huggingface.co";
constexpr std::size_t kMaxToken = 4096;

bool is_set(const char* name) {
  std::string value = environment(name);
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::toupper(c); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

int positive(const char* name, int fallback) {
  const std::string text = environment(name);
  if (text.empty()) return fallback;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value <= 0)
    fail_usage(std::string(name) + "=" + text + ": expected a whole number above 0");
  return value;
}

std::string read_endpoint() {
  std::string endpoint = environment("HF_ENDPOINT");
  if (endpoint.empty()) return kEndpoint;
  while (endpoint.ends_with('/')) endpoint.pop_back();
  // The text is not shown: what stands before an "@" is a password.
  if (endpoint.find_first_of("@?# ") != std::string::npos)
    fail_usage("HF_ENDPOINT: expected an address like https://huggingface.co, without a user, a query or spaces");
  if (!endpoint.starts_with("https://") && !endpoint.starts_with("http://"))
    fail_usage("HF_ENDPOINT=" + endpoint + ": expected an address that begins with https:// or http://");
  return endpoint;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// It goes into a header, where a line break would begin another one.
void check_token(const Settings& settings) {
  const bool plain =
      std::all_of(settings.token.begin(), settings.token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!plain || settings.token.size() > kMaxToken)
    fail_usage(settings.token_origin + ": holds no access token (a token is one word like hf_...)");
}

void read_token(Settings& settings) {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    settings.token = trimmed(environment(name));
    settings.token_origin = name;
    if (!settings.token.empty()) return;
  }
  const std::filesystem::path file = token_file();
  settings.token_origin = file.string();
  std::ifstream in(file, std::ios::binary);
  if (!in) return;
  std::string text(kMaxToken + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  settings.token = trimmed(text);
}

}  // namespace

Settings read_settings() {
  Settings settings;
  settings.endpoint = read_endpoint();
  settings.cache = cache_folder();
  settings.offline = is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE");
  settings.timeout_seconds = positive("HF_HUB_DOWNLOAD_TIMEOUT", settings.timeout_seconds);
  settings.attempts = positive("D2C_HUB_ATTEMPTS", settings.attempts);
  read_token(settings);
  check_token(settings);
  return settings;
}

std::string host_of(const Settings& settings) {
  const std::size_t first = settings.endpoint.find("://") + 3;
  return settings.endpoint.substr(first, settings.endpoint.find('/', first) - first);
}

}  // namespace d2c::hub
