#include "host/crash/crash.hpp"

#include "host/platform/mapped_file.hpp"

#include <d2c/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace d2c::host::crash {
namespace {

struct Named {
  int signal;
  const char* text;
};
constexpr Named kSignals[] = {{SIGSEGV, "SIGSEGV, an access to memory that is not there"},
                              {SIGBUS, "SIGBUS, an access to memory that cannot be read"},
                              {SIGILL, "SIGILL, an instruction that this machine does not know"},
                              {SIGFPE, "SIGFPE, a division by zero"},
                              {SIGABRT, "SIGABRT, it gave up"}};

thread_local const char* t_plugin = nullptr;
thread_local const char* t_function = nullptr;
std::atomic_flag g_crashed = ATOMIC_FLAG_INIT;

/// Collects one line for a single write: all that a signal handler may do.
class Line {
 public:
  Line& operator<<(std::string_view text) {
    const std::size_t fitting = std::min(text.size(), bytes_.size() - size_);
    std::memcpy(bytes_.data() + size_, text.data(), fitting);
    size_ += fitting;
    return *this;
  }
  ~Line() {
    const ssize_t ignored = ::write(STDERR_FILENO, bytes_.data(), size_);
    (void)ignored;
  }
  Line() = default;
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

 private:
  std::array<char, 8192> bytes_;
  std::size_t size_ = 0;
};

/// Erases what a live line of progress may have left there.
std::string_view start_of_line() { return isatty(STDERR_FILENO) == 1 ? "\r\x1b[K" : ""; }

const char* text_of(int signal) {
  for (const Named& named : kSignals)
    if (named.signal == signal) return named.text;
  return "a signal";
}

[[noreturn]] void end(Code code) { _exit(static_cast<int>(code)); }

/// A page of a file that is not there any more.
void report_lost_file(const siginfo_t& info) {
  static std::array<char, 4096> path;  // the one crash that is reported has it to itself
  if (info.si_code != BUS_ADRERR || !find_mapped_file(info.si_addr, path)) return;
  Line()
      << start_of_line() << "dolphin2coreml: error: " << path.data()
      << ": cannot be read any more: it was cut short, or its disk failed, while it was in use; make it whole and run "
         "the same command again\n";
  end(Code::input);
}

void report(int signal, siginfo_t* info, void* /*context*/) {
  if (g_crashed.test_and_set())  // another thread is at it and ends the process
    for (;;) pause();
  if (signal == SIGBUS) report_lost_file(*info);
  if (t_plugin != nullptr) {
    Line() << start_of_line() << "dolphin2coreml: error: plugin '" << t_plugin << "' crashed in " << t_function << " ("
           << text_of(signal) << "); the fault is that plugin's, report it to its author with the command line\n";
    end(Code::plugin);
  }
  Line() << start_of_line() << "dolphin2coreml: error: internal error: crashed (" << text_of(signal)
         << "); please report it with the command line\n";
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

/// A thread that ran out of stack needs another one to say so.
class HandlerStack {
 public:
  HandlerStack() {
    stack_t stack{};
    stack.ss_sp = bytes_.get();
    stack.ss_size = kBytes;
    sigaltstack(&stack, nullptr);
  }
  ~HandlerStack() {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }
  HandlerStack(const HandlerStack&) = delete;
  HandlerStack& operator=(const HandlerStack&) = delete;

 private:
  static constexpr std::size_t kBytes = std::size_t{64} << 10;
  std::unique_ptr<std::byte[]> bytes_{new std::byte[kBytes]};
};

}  // namespace

void install_handlers() {
  for (const Named& named : kSignals) {
    struct sigaction before {};
    if (sigaction(named.signal, nullptr, &before) != 0 || before.sa_handler != SIG_DFL) continue;
    struct sigaction action {};
    action.sa_sigaction = report;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(named.signal, &action, nullptr);
  }
}

PluginCall::PluginCall(const char* plugin, const char* function) noexcept
    : outer_plugin_(t_plugin), outer_function_(t_function) {
  static thread_local const HandlerStack stack;
  t_plugin = plugin;
  t_function = function;
}

PluginCall::~PluginCall() {
  t_plugin = outer_plugin_;
  t_function = outer_function_;
}

}  // namespace d2c::host::crash
