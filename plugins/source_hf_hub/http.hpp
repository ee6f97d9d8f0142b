// HTTP requests, several at a time, on one thread. libcurl stays in http.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace d2c::hub {

struct Range {
  std::uint64_t first = 0;
  std::uint64_t count = 0;  ///< above 0
};

struct Request {
  std::string url;
  bool head = false;
  std::optional<Range> range;
  std::uint64_t max_bytes = 0;  ///< a longer body ends the transfer
};

struct Response {
  int status = 0;                              ///< 0: no answer came
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;                            ///< what has arrived, also where the transfer ended early
  std::string error;                           ///< why it ended early; empty: it is complete
  std::string url;                             ///< who answered, after redirections
  std::int64_t retry_after = 0;                ///< seconds the server asks to wait

  [[nodiscard]] std::string header(const std::string& name) const;
};

/// "https://huggingface.co:443"; empty where the text is no URL.
[[nodiscard]] std::string origin_of(const std::string& url);

/// Nobody on the way can read what is sent there: it goes encrypted, or stays on this machine.
[[nodiscard]] bool is_private(const std::string& url);

struct HttpOptions {
  std::string endpoint;  ///< https here means https everywhere
  std::string token;     ///< sent to the endpoint alone, whoever redirects where
  int timeout_seconds = 10;
};

/// Redirections are followed, but a HEAD's only within its origin: what the hub says about a file it says before it
/// sends people elsewhere.
class Http {
 public:
  explicit Http(const HttpOptions& options);
  ~Http();

  void start(const Request& request, std::function<void(Response)> done);
  /// Waits for at most so long, then calls `done` for each transfer that ended. It may throw, and may start others.
  void run(int milliseconds);
  [[nodiscard]] std::size_t active() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2c::hub
