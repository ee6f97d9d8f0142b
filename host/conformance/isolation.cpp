#include "host/conformance/isolation.hpp"

#include "host/conformance/rules.hpp"

#include <d2c/error.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>

namespace d2c::host::conformance {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using TemporaryFile = std::unique_ptr<std::FILE, CloseFile>;

TemporaryFile temporary_file() {
  TemporaryFile file(std::tmpfile());
  if (!file) fail(Code::resource, std::string("no temporary file: ") + std::strerror(errno));
  return file;
}

std::string content_of(std::FILE* file) {
  std::string text;
  char buffer[4096];
  std::rewind(file);
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, file)) text.append(buffer, count);
  return text;
}

/// What the child says: one letter for the outcome, then its text.
std::string report_of(const std::function<void()>& body) {
  try {
    body();
    return "r";
  } catch (const Skipped& skipped) {
    return "s" + skipped.why;
  } catch (const std::exception& e) {
    return std::string("t") + e.what();
  } catch (...) {
    return "tan exception of an unknown type left the plugin";
  }
}

[[noreturn]] void run_child(const std::function<void()>& body, unsigned seconds, std::FILE* report, std::FILE* output) {
  // A crash is a finding, not a core file or a sanitizer's page of text.
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM}) std::signal(number, SIG_DFL);
  alarm(seconds);
  if (dup2(fileno(output), STDOUT_FILENO) < 0) _exit(1);
  const std::string text = report_of(body);
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), report);
  std::fflush(report);
  _exit(0);
}

std::string end_of(int status, unsigned seconds) {
  if (WIFEXITED(status)) return "the plugin ended the process with exit code " + std::to_string(WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  if (number == SIGALRM) return "not done after " + std::to_string(seconds) + " seconds";
  if (number == SIGSEGV || number == SIGBUS)
    return "crashed: it read or wrote outside of the memory it was given (" + std::string(strsignal(number)) + ")";
  return "crashed: " + std::string(strsignal(number));
}

}  // namespace

Outcome run_isolated(const std::function<void()>& body, unsigned seconds) {
  const TemporaryFile report = temporary_file(), output = temporary_file();
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) fail(Code::resource, std::string("no child process: ") + std::strerror(errno));
  if (child == 0) run_child(body, seconds, report.get(), output.get());
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) fail(Code::resource, std::string("the child process is lost: ") + std::strerror(errno));

  Outcome outcome;
  outcome.stdout_bytes = content_of(output.get()).size();
  const std::string text = content_of(report.get());
  if (text.empty()) return {Outcome::Kind::died, end_of(status, seconds), outcome.stdout_bytes};
  outcome.text = text.substr(1);
  outcome.kind = text[0] == 'r'   ? Outcome::Kind::returned
                 : text[0] == 's' ? Outcome::Kind::skipped
                                  : Outcome::Kind::threw;
  return outcome;
}

}  // namespace d2c::host::conformance
