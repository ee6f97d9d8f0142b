// Which values of a program lie in weight.bin, and where.
#pragma once

#include "libs/coreml_spec/blob_file.hpp"
#include "plugins/coreml_writer/program_view.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace d2c::coreml_writer {

/// Weights come first, each with its planes in layout order, then the constants that some op uses and that are large
/// enough; all in the program's order.
class BlobPlan {
 public:
  explicit BlobPlan(const ProgramView& program);

  [[nodiscard]] const std::vector<coreml::BlobRecord>& records() const noexcept { return layout_.records(); }
  /// Exact size of weight.bin; 0: there is no such file.
  [[nodiscard]] std::uint64_t file_size() const noexcept { return layout_.file_size(); }
  /// Error(plugin) where there is no such plane.
  [[nodiscard]] const coreml::BlobRecord& plane(std::size_t weight, std::size_t plane) const;
  /// Null: the constant is an immediate value of the program (or unused).
  [[nodiscard]] const coreml::BlobRecord* constant(std::size_t index) const;

 private:
  coreml::BlobLayout layout_;
  std::vector<std::vector<std::size_t>> planes_;       // weight, plane -> record
  std::vector<std::optional<std::size_t>> constants_;  // constant -> record
};

}  // namespace d2c::coreml_writer
