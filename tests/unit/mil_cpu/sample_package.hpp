// Small packages made on the spot: functions of a few ops, as Core ML stores them.
#pragma once

#include "libs/coreml_spec/model.pb.h"

#include <d2c/graph.hpp>
#include <d2c/plugin.hpp>

#include <concepts>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace d2c::mil_cpu::test {

/// One parameter of an op: values by name, or a constant.
struct Argument {
  Argument(const char* p, const char* name) : parameter(p), names{name} {}
  Argument(const char* p, std::string name) : parameter(p), names{std::move(name)} {}
  Argument(const char* p, std::vector<std::string> all) : parameter(p), names(std::move(all)) {}
  Argument(const char* p, Constant value) : parameter(p), constant(std::move(value)) {}
  Argument(const char* p, std::same_as<bool> auto v) : Argument(p, Constant::boolean(v)) {}
  Argument(const char* p, std::same_as<int> auto v) : Argument(p, Constant::i32(v)) {}

  std::string parameter;
  std::vector<std::string> names;
  std::optional<Constant> constant;
};

Constant f32(Shape shape, std::initializer_list<float> values);
Constant f16(Shape shape, std::initializer_list<float> values);
/// Packed elements of a type below, at or above a byte, e.g. palette indices.
Constant packed(DType dtype, Shape shape, std::span<const int> values);

class PackageBuilder;

class FunctionBuilder {
 public:
  std::string input(const std::string& name, const TensorType& type);
  std::string state(const std::string& name, const TensorType& type);
  std::string constant(const std::string& name, const Constant& value);
  /// A constant whose bytes lie in weight.bin.
  std::string weight(const std::string& name, const Constant& value);
  std::string op(const std::string& type, const std::string& name, const TensorType& result,
                 const std::vector<Argument>& arguments);
  std::vector<std::string> ops(const std::string& type, const std::string& name, const std::vector<TensorType>& results,
                               const std::vector<Argument>& arguments);
  /// A constexpr op: constants become values inside it, in weight.bin where `in_file`.
  std::string constexpr_op(const std::string& type, const std::string& name, const TensorType& result,
                           const std::vector<Argument>& arguments, bool in_file = false);
  /// The same as iOS 16 and 17 have it: parameters are attributes.
  std::string attribute_constexpr(const std::string& type, const std::string& name, const TensorType& result,
                                  const std::vector<Argument>& arguments);
  void output(const std::string& name);

 private:
  friend class PackageBuilder;
  FunctionBuilder(PackageBuilder& package, std::string name) : package_(package), name_(std::move(name)) {}
  [[nodiscard]] coreml::spec::Block& block();
  [[nodiscard]] coreml::spec::FunctionDescription& description();
  coreml::spec::Operation& add(const std::string& type, const std::vector<std::string>& names,
                               const std::vector<TensorType>& results);

  PackageBuilder& package_;
  std::string name_;
  std::map<std::string, TensorType> types_;
};

class PackageBuilder {
 public:
  PackageBuilder();

  FunctionBuilder function(const std::string& name);
  void metadata(const std::string& key, const std::string& value);
  /// Writes the package and returns its folder, which the process removes when it ends.
  [[nodiscard]] std::filesystem::path write() const;

  coreml::spec::Model model;       ///< to be spoilt by hostile tests
  std::vector<std::byte> weights;  ///< weight.bin

 private:
  friend class FunctionBuilder;
  std::uint64_t add_blob(const Constant& value);
  coreml::spec::FunctionDescription& describe(const std::string& function);
  std::uint32_t blobs_ = 0;
};

/// Bytes of a feature, given or received.
using Bytes = std::vector<std::byte>;
[[nodiscard]] Bytes bytes_of(const Constant& value);

/// Calls a function and returns its outputs by name.
std::map<std::string, Bytes> call(Runner& runner, const std::string& function, RunnerState* state,
                                  const std::map<std::string, Constant>& inputs);

/// A feature's elements as float, whatever its type.
[[nodiscard]] std::vector<float> numbers(DType dtype, const Bytes& bytes);

}  // namespace d2c::mil_cpu::test
