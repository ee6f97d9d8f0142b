// The request to stop: SIGINT and SIGTERM set it, long work polls it.
#pragma once

#include <d2c/error.hpp>

namespace d2c::host::stop {

/// From now on SIGINT and SIGTERM request a stop instead of ending the process; a second one ends it at once.
void install_handlers();

/// Thread-safe and async-signal-safe.
void request(int signal) noexcept;
[[nodiscard]] bool requested() noexcept;
/// The signal that asked, 0 for none; exit code is 128 + signal.
[[nodiscard]] int signal_number() noexcept;

/// Forgets a request and takes the next one as the first: for a program that goes on after it stopped what it was doing.
void acknowledge();

/// Throws Error(interrupted) once a stop is requested.
void throw_if_requested();

}  // namespace d2c::host::stop
