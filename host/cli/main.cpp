// The program: parse, run, report. Results go to stdout, everything else to stderr.
#include "host/cli/arguments.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/crash/crash.hpp"
#include "host/log/log.hpp"
#include "host/stop/stop.hpp"
#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <cstdio>
#include <filesystem>
#include <new>

namespace {

using namespace d2c::host;

void apply_output_settings(const cli::Arguments& arguments) {
  log::set_color(arguments.color);
  log::set_level(arguments.quiet ? log::Level::warn : arguments.verbose > 0 ? log::Level::debug : log::Level::info);
}

int report(const cli::Arguments& arguments, int code, const std::string& message) {
  log::line("dolphin2coreml: error: " + message);
  if (!arguments.json) return code;
  d2c::Value error = d2c::Value::table(), whole = d2c::Value::table();
  error.set("code", code);
  error.set("message", message);
  whole.set("error", std::move(error));
  std::puts(d2c::json::dump(whole).c_str());
  return code;
}

int exit_code(const d2c::Error& e) {
  if (e.code() == d2c::Code::interrupted && stop::signal_number() != 0) return 128 + stop::signal_number();
  return static_cast<int>(e.code());
}

int run(int argc, char** argv, cli::Arguments& arguments) {
  if (const auto answer = cli::parse(argc, argv, arguments)) {
    cli::print(answer->text);
    return D2C_OK;
  }
  apply_output_settings(arguments);
  try {
    cli::print(cli::run(arguments));
    return D2C_OK;
  } catch (const cli::CheckFailed& failed) {
    cli::print(failed.text);
    return D2C_CHECK_FAILED;
  }
}

}  // namespace

int main(int argc, char** argv) {
  cli::Arguments arguments;
  try {
    stop::install_handlers();
    crash::install_handlers();
    return run(argc, argv, arguments);
  } catch (const d2c::Error& e) {
    return report(arguments, exit_code(e), e.what());
  } catch (const std::filesystem::filesystem_error& e) {
    return report(arguments, D2C_RESOURCE, e.path1().string() + ": " + e.code().message());
  } catch (const std::bad_alloc&) {
    return report(arguments, D2C_RESOURCE, "out of memory; lower --threads");
  } catch (const std::exception& e) {
    return report(arguments, D2C_PLUGIN,
                  std::string("internal error: ") + e.what() + "; please report it with the command line");
  }
}
