// A package's program in memory: functions, their values and ops, and where each constant's bytes lie in the mapped
// weight files. Loading checks names, order and sizes; what an op means is checked when it is compiled.
#pragma once

#include <d2c/plugin.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace d2c::mil_cpu {

/// The types that are held as float while a function runs; the others are integers.
constexpr bool is_real(DType dtype) noexcept { return dtype == DType::f16 || dtype == DType::f32; }

/// A constant as it is stored. Weights stay compressed: kernels expand them where they use them.
struct Stored {
  enum class Form { dense, palette, blockwise };

  Form form = Form::dense;
  TensorType type;                  ///< expanded
  TensorType data_type;             ///< of `data`; the same as `type` where dense
  std::span<const std::byte> data;  ///< dense values, palette indices or quantized integers
  Shape groups;                     ///< palette, blockwise: tables per axis of `data`
  std::int64_t vector = 1;          ///< palette: elements per entry, along `vector_axis`
  std::int64_t vector_axis = 0;
  std::vector<float> table;      ///< palette: [groups..., entries, vector]; blockwise: scales [groups...]
  std::vector<float> offsets;    ///< blockwise: [groups...], empty for none
  std::vector<std::byte> owned;  ///< what `data` points to where it lies in the model itself
};

struct ProgramValue {
  enum class Kind { input, state, constant, result };

  std::string name;
  Kind kind = Kind::result;
  TensorType type;
  std::shared_ptr<const Stored> stored;  ///< of constants
};

using ValueId = std::size_t;

struct Operation {
  std::string type;
  std::string name;
  std::map<std::string, std::vector<ValueId>> arguments;
  std::vector<ValueId> results;
};

struct Function {
  std::string name;
  std::vector<ProgramValue> values;
  std::vector<Operation> operations;  ///< each after what it uses; constants are values, not operations
  std::vector<ValueId> inputs, states, outputs;

  [[nodiscard]] Signature signature() const;
};

/// A file mapped for reading.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

struct Package {
  std::vector<Function> functions;  ///< the default one first
  std::map<std::string, std::string> metadata;
  std::vector<std::unique_ptr<MappedFile>> files;
  std::uint64_t weight_bytes = 0;
};

/// Error(input) says in which function and op a package is wrong.
[[nodiscard]] Package load_package(const std::filesystem::path& root);

}  // namespace d2c::mil_cpu
