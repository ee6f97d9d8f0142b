#include "host/stop/stop.hpp"

#include <atomic>
#include <csignal>

namespace d2c::host::stop {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler writes it");

}  // namespace

void install_handlers() {
  struct sigaction action {};
  action.sa_handler = [](int signal) { request(signal); };
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A reader that went away is an error of the write, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
}

void request(int signal) noexcept { g_signal.store(signal, std::memory_order_relaxed); }
bool requested() noexcept { return signal_number() != 0; }
int signal_number() noexcept { return g_signal.load(std::memory_order_relaxed); }

void acknowledge() {
  request(0);
  install_handlers();
}
void throw_if_requested() {
  if (requested()) throw Error(Code::interrupted, "interrupted");
}

}  // namespace d2c::host::stop
