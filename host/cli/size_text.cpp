#include "host/cli/size_text.hpp"

#include <d2c/error.hpp>

#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
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

std::string size_text(std::uint64_t bytes) {
  static constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace d2c::host::cli
