// Describes an existing .mlpackage, whoever wrote it, and reads its weights.
#pragma once

#include "libs/mil_cpu/program.hpp"

#include <d2c/plugin.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace d2c::coreml_writer {

class CoreMLReader final : public PackageReader {
 public:
  explicit CoreMLReader(const Config& options);

  [[nodiscard]] const Value& describe() const override { return description_; }
  void rows(std::size_t index, std::int64_t first, std::int64_t count, float* out) const override;
  /// 100 for a folder whose manifest names an .mlmodel as its root.
  static int probe(const char* path);

 private:
  void load_weights() const;

  std::string path_;
  Value description_;
  mutable std::once_flag loaded_;
  mutable mil_cpu::Package package_;
  mutable std::vector<std::shared_ptr<const mil_cpu::Stored>> weights_;  ///< by their place in the description
};

}  // namespace d2c::coreml_writer
