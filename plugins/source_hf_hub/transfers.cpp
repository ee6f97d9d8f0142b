#include "plugins/source_hf_hub/transfers.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <memory>
#include <utility>

namespace d2c::hub {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstDelay{500};
constexpr milliseconds kLongestDelay{30000};
constexpr seconds kLongestPause{600};
constexpr int kTick = 50;  ///< milliseconds between looks at cancellation and the clock

/// Doubles from one failure to the next.
milliseconds delay_after(int failures) {
  milliseconds delay = kFirstDelay;
  for (int i = 1; i < failures && delay < kLongestDelay; ++i) delay *= 2;
  return std::min(delay, kLongestDelay);
}

}  // namespace

std::string passing_trouble(const Response& response) {
  const int status = response.status;
  if (status == 408 || status == 425 || status == 429 || status >= 500) return "HTTP " + std::to_string(status);
  if (!response.error.empty()) return response.error;
  return status == 0 ? "no answer" : "";
}

Transfers::Transfers(const Settings& settings, const Host& host)
    : host_(host), attempts_(settings.attempts), http_({settings.endpoint, settings.token, settings.timeout_seconds}) {}

void Transfers::add(Job job) { waiting_.push_back({std::move(job), 0, Clock::now()}); }

void Transfers::run(const std::function<Supply()>& supply) {
  Supply state = Supply::more;
  for (;;) {
    host_.throw_if_cancelled();
    for (std::size_t n = free_connections(); n > 0 && state != Supply::never; --n)
      if ((state = supply()) != Supply::more) break;
    start_ready();
    if (state == Supply::never && waiting_.empty() && http_.active() == 0) return;
    http_.run(state == Supply::more && free_connections() > 0 ? 0 : kTick);
  }
}

std::size_t Transfers::free_connections() const {
  const std::size_t taken = http_.active() + waiting_.size();
  return taken < kConnections ? kConnections - taken : 0;
}

void Transfers::start_ready() {
  const Clock::time_point now = Clock::now();
  if (now < paused_until_) return;
  for (std::size_t left = waiting_.size(); left > 0 && http_.active() < kConnections; --left) {
    const auto next = std::make_shared<Waiting>(std::move(waiting_.front()));
    waiting_.pop_front();
    if (next->ready > now) {
      waiting_.push_back(std::move(*next));
      continue;
    }
    http_.start(next->job.request(), [this, next](Response response) {
      const Verdict verdict = next->job.answer(response);
      if (!verdict.retry.empty()) retry(std::move(*next), response, verdict);
    });
  }
}

void Transfers::retry(Waiting waiting, const Response& response, const Verdict& verdict) {
  waiting.failures = verdict.progress ? 1 : waiting.failures + 1;
  if (waiting.failures >= attempts_)
    fail(Code::network, waiting.job.what + ": " + verdict.retry + " (" + std::to_string(attempts_) +
                            " attempts); run again to go on from what has arrived");
  const seconds asked(response.retry_after);
  if (asked > kLongestPause)
    fail(Code::network, waiting.job.what + ": " + verdict.retry + ", and the server asks to come back in " +
                            std::to_string(asked.count()) + " s; run again then");
  const milliseconds longest = delay_after(waiting.failures);
  // Spread, so that those who failed together do not come back together.
  const milliseconds delay(longest.count() / 2 +
                           static_cast<long>(random_() % static_cast<unsigned>(longest.count() / 2)));
  const Clock::time_point now = Clock::now();
  if (asked.count() > 0) paused_until_ = std::max(paused_until_, now + asked);
  waiting.ready = now + delay;
  host_.debug(waiting.job.what + ": " + verdict.retry + "; trying again");
  waiting_.push_back(std::move(waiting));
}

}  // namespace d2c::hub
