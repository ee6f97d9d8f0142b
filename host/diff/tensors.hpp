// Named tensors that can be compared, wherever they lie.
#pragma once

#include "host/planner/source.hpp"

#include <d2c/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host {

class Tensors {
 public:
  struct Entry {
    std::string name;
    Shape shape;
    std::string stored;         ///< for people: "bf16[64,64]", "palette 4-bit [64,64]"
    DType dtype = DType::none;  ///< none: not stored as plain numbers of one type
  };

  virtual ~Tensors() = default;
  [[nodiscard]] virtual const std::vector<Entry>& entries() const = 0;
  /// As they are stored; nothing where dtype is none.
  [[nodiscard]] virtual std::optional<RowView> bytes(std::size_t index, std::int64_t first,
                                                     std::int64_t rows) const = 0;
  /// As numbers; floating-point types and quantized weights only.
  virtual void numbers(std::size_t index, std::int64_t first, std::int64_t rows, float* out) const = 0;
  /// A package names its weights as MIL allows, pads rows, and holds constants that no checkpoint has.
  [[nodiscard]] virtual bool is_package() const = 0;
};

[[nodiscard]] std::unique_ptr<Tensors> checkpoint_tensors(std::unique_ptr<Source> source);
[[nodiscard]] std::unique_ptr<Tensors> package_tensors(Handle<d2c_package_reader> reader);

}  // namespace d2c::host
