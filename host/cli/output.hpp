// Results for people: tables on stdout.
#pragma once

#include <d2c/value.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::host::cli {

/// Rows of cells, columns padded to their widest cell; numbers (by `right`) aligned to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::vector<bool> right = {});
  void add(std::vector<std::string> row);
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> right_;
};

/// Thrown with what a command prints where the check it was asked for has failed: exit code 1.
struct CheckFailed {
  std::string text;
};

/// What a command returns: the value as JSON, or the text.
[[nodiscard]] std::string result(bool json, const Value& value, const std::string& text);

/// "1,2,3", as --tokens takes them.
[[nodiscard]] std::string token_list(std::span<const std::int32_t> tokens);

/// Writes to stdout at once; Error(resource) where that is not possible.
void print(std::string_view text);

/// Error(usage) naming the flag where a file is to be written into a folder that does not exist; an empty path is none.
void check_output_folder(const char* flag, const std::string& path);

/// A plan, with what it needs.
[[nodiscard]] std::string plan_text(const Value& report);
/// A finished conversion.
[[nodiscard]] std::string conversion_text(const Value& report);
/// A package that was assembled.
[[nodiscard]] std::string assembly_text(const Value& report);
/// A package read back.
[[nodiscard]] std::string package_text(const Value& description);

}  // namespace d2c::host::cli
