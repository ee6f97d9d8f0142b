// The one exception type of the framework: a class that maps to an exit code, and a sentence for people.
#pragma once

#include <d2c/abi.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace d2c {

enum class Code : d2c_code {
  ok = D2C_OK,
  check_failed = D2C_CHECK_FAILED,
  usage = D2C_USAGE,
  input = D2C_INPUT,
  network = D2C_NETWORK,
  resource = D2C_RESOURCE,
  plugin = D2C_PLUGIN,
  interrupted = D2C_INTERRUPTED,
};

/// `what()` says what is wrong, where (file, tensor, key, line:column), and what to do about it.
class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}

  [[nodiscard]] Code code() const noexcept { return code_; }

 private:
  Code code_;
};

[[noreturn]] inline void fail(Code code, const std::string& message) { throw Error(code, message); }
[[noreturn]] inline void fail_input(const std::string& message) { throw Error(Code::input, message); }
[[noreturn]] inline void fail_usage(const std::string& message) { throw Error(Code::usage, message); }

}  // namespace d2c
