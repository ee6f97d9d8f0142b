// JSON text from and to d2c::Value: strict, with duplicate keys and deep nesting refused.
#pragma once

#include <d2c/value.hpp>

#include <string>
#include <string_view>

namespace d2c::json {

/// Parses a whole document. `where` (a file name) opens every error message; errors are Error(input).
/// Integers outside int64 become reals; keys keep the order of the file; nesting deeper than 128 is refused.
[[nodiscard]] Value parse(std::string_view text, const std::string& where);

/// Reads and parses a file; a missing or unreadable one, or one above `max_bytes`, is Error(input).
[[nodiscard]] Value parse_file(const std::string& path, std::size_t max_bytes = 256u << 20);

/// Compact (indent < 0) or indented text. Keys keep their order; reals print shortest and round-trip; no NaN (null).
[[nodiscard]] std::string dump(const Value& value, int indent = -1);

}  // namespace d2c::json
