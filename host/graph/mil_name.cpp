#include "host/graph/mil_name.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

constexpr std::string_view kReserved[] = {"any",   "bool",  "program", "func",  "tensor", "list",   "dict",   "tuple",
                                          "true",  "false", "string",  "bf16",  "fp16",   "fp32",   "fp64",   "int8",
                                          "int16", "int32", "int64",   "uint8", "uint16", "uint32", "uint64", "state"};

// ASCII whatever the locale is.
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_letter_or_digit(char c) { return is_letter(c) || (c >= '0' && c <= '9'); }
bool is_reserved(std::string_view name) { return std::ranges::find(kReserved, name) != std::end(kReserved); }

}  // namespace

bool is_mil_name(std::string_view name) {
  return !name.empty() && is_letter(name[0]) && std::ranges::all_of(name, is_letter_or_digit) && !is_reserved(name);
}

std::string legal_mil_name(std::string_view hint) {
  std::string name(hint);
  std::ranges::replace_if(
      name, [](char c) { return !is_letter_or_digit(c); }, '_');
  if (name.empty() || !is_letter(name[0]) || is_reserved(name)) name.insert(name.begin(), '_');
  return name;
}

}  // namespace d2c::host
