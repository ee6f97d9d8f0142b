// Results for people: tables on stdout.
#pragma once

#include <d2c/value.hpp>

#include <string>
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

/// A plan, with what it needs.
[[nodiscard]] std::string plan_text(const Value& report);
/// A finished conversion.
[[nodiscard]] std::string conversion_text(const Value& report);
/// A package read back.
[[nodiscard]] std::string package_text(const Value& description);

}  // namespace d2c::host::cli
