// Describes an existing .mlpackage, whoever wrote it.
#pragma once

#include <d2c/plugin.hpp>

namespace d2c::coreml_writer {

class CoreMLReader final : public PackageReader {
 public:
  explicit CoreMLReader(const Config& options);

  [[nodiscard]] const Value& describe() const override { return description_; }
  /// 100 for a folder whose manifest names an .mlmodel as its root.
  static int probe(const char* path);

 private:
  Value description_;
};

}  // namespace d2c::coreml_writer
