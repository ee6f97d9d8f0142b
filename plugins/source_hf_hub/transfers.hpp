// Requests that are made again when they fail for a passing reason.
#pragma once

#include "plugins/source_hf_hub/http.hpp"
#include "plugins/source_hf_hub/settings.hpp"

#include <d2c/plugin.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <random>
#include <string>

namespace d2c::hub {

/// What became of an attempt. Refusals that no repetition would change are thrown.
struct Verdict {
  std::string retry;      ///< why the request deserves another attempt; empty: it is done
  bool progress = false;  ///< this attempt brought something, so the count of failures begins anew
};

/// Why an answer may be another one in a while: nothing came, it broke off, too many requests, a server in trouble.
/// Empty where it is what the server has to say.
[[nodiscard]] std::string passing_trouble(const Response& response);

struct Job {
  std::string what;  ///< for messages: "config.json of ORG/NAME"
  std::function<Request()> request;
  std::function<Verdict(Response&)> answer;
};

class Transfers {
 public:
  static constexpr std::size_t kConnections = 8;

  Transfers(const Settings& settings, const Host& host);

  void add(Job job);

  enum class Supply {
    more,   ///< call again
    later,  ///< nothing to do at this moment
    never,  ///< there will be no more
  };
  /// Runs all jobs. While connections are free, `supply` is called to add further ones or to do a little of something
  /// else. Error(network) when a job has failed too often; what the jobs throw; Error(interrupted).
  void run(const std::function<Supply()>& supply = [] { return Supply::never; });

 private:
  using Clock = std::chrono::steady_clock;

  struct Waiting {
    Job job;
    int failures = 0;
    Clock::time_point ready;
  };

  [[nodiscard]] std::size_t free_connections() const;
  void start_ready();
  void retry(Waiting waiting, const Response& response, const Verdict& verdict);

  const Host host_;
  const int attempts_;
  Http http_;
  std::deque<Waiting> waiting_;
  Clock::time_point paused_until_;  ///< the server asked to be left alone until then
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace d2c::hub
