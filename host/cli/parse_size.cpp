#include "host/cli/parse_size.hpp"

#include <d2c/error.hpp>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace d2c::host::cli {

std::uint64_t parse_size(const std::string& text) {
  const auto refuse = [&] { fail_usage("'" + text + "' is no size; write 2G, 512M or a number of bytes"); };
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !std::isfinite(number) || number <= 0) refuse();
  std::string unit;
  for (const char* c = end; *c != '\0'; ++c) unit += static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  if (unit.ends_with("IB")) unit.resize(unit.size() - 2);
  else if (unit.ends_with("B")) unit.resize(unit.size() - 1);
  static constexpr std::string_view kUnits = "KMGT";
  int shift = 0;
  if (!unit.empty()) {
    const auto place = unit.size() == 1 ? kUnits.find(unit[0]) : std::string_view::npos;
    if (place == std::string_view::npos) refuse();
    shift = 10 * (static_cast<int>(place) + 1);
  }
  const double bytes = std::ldexp(number, shift);
  if (bytes >= 0x1p63) refuse();
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace d2c::host::cli
