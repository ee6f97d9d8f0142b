// Programs made by hand and packages written from them, for the tests of writer and reader.
#pragma once

#include "plugins/coreml_writer/package_writer.hpp"

#include <d2c/plugin.hpp>

#include <deque>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace d2c::coreml_writer {

/// A function in the making. Values are node ids.
class SampleFunction {
 public:
  using Arguments = std::vector<std::pair<const char*, std::vector<d2c_value_id>>>;

  explicit SampleFunction(std::string name) : name_(std::move(name)) {}

  d2c_value_id input(const std::string& name, const TensorType& type) { return node(name, D2C_NODE_INPUT, 0, type); }
  d2c_value_id state(const std::string& name, const TensorType& type) { return node(name, D2C_NODE_STATE, 0, type); }
  d2c_value_id node(const std::string& name, d2c_node_kind kind, std::uint32_t index, const TensorType& type);
  /// One result, named like the op.
  d2c_value_id op(const char* type, const std::string& name, const Arguments& arguments, const TensorType& result);
  void op_without_result(const char* type, const std::string& name, const Arguments& arguments);
  void output(d2c_value_id id) { outputs_.push_back(id); }

  [[nodiscard]] std::size_t node_count() const { return nodes_.size(); }
  [[nodiscard]] d2c_node& node_at(d2c_value_id id) { return nodes_[id]; }
  [[nodiscard]] d2c_op& op_at(std::size_t index) { return ops_[index]; }
  [[nodiscard]] std::vector<d2c_value_id>& outputs() { return outputs_; }
  [[nodiscard]] d2c_function c() const;

 private:
  d2c_op& add_op(const char* type, const std::string& name, const Arguments& arguments);

  std::string name_;
  std::deque<std::string> texts_;
  std::deque<std::vector<d2c_value_id>> ids_;
  std::deque<std::vector<d2c_argument>> arguments_;
  std::vector<d2c_node> nodes_;
  std::vector<d2c_op> ops_;
  std::vector<d2c_value_id> outputs_;
};

/// A program in the making; `c()` stays valid until the next change.
class SampleProgram {
 public:
  SampleFunction& function(const std::string& name) { return functions_.emplace_back(name); }
  [[nodiscard]] SampleFunction& function_at(std::size_t index) { return functions_[index]; }

  std::uint32_t constant(const Constant& constant);
  std::uint32_t weight(const std::string& name, const TensorType& type, const Layout& layout);
  [[nodiscard]] d2c_layout& layout(std::size_t weight) { return layouts_[weight]; }

  /// A node for the constant or weight in a function.
  d2c_value_id use(SampleFunction& f, const std::string& name, const Constant& c);
  d2c_value_id use_weight(SampleFunction& f, std::uint32_t index);

  void set_deployment(const char* deployment) { deployment_ = deployment; }
  void set_default(const char* function) { default_ = function; }
  [[nodiscard]] const d2c_program& c();

 private:
  std::deque<SampleFunction> functions_;
  std::deque<Constant> constants_;
  std::deque<std::string> texts_;
  std::deque<d2c_layout> layouts_;
  std::vector<d2c_weight> weights_;
  std::vector<d2c_function> c_functions_;
  std::vector<d2c_tensor> c_constants_;
  const char* deployment_ = "iOS18";
  const char* default_ = nullptr;
  d2c_program c_{};
};

[[nodiscard]] Layout dense(DType dtype, const Shape& shape);
/// `groups` palettes along axis 0, entries of `vector` elements along axis 0.
[[nodiscard]] Layout palette(DType lut, const Shape& shape, int bits, std::int64_t groups, std::int64_t vector = 1);
/// Blocks of `block` elements along the last axis.
[[nodiscard]] Layout blockwise(DType scale, const Shape& shape, DType data, std::int64_t block, bool with_offset);

/// Three functions: "init" and "decode" share a state and nearly every weight, in every scheme and bit width; "encode"
/// has fp32 weights of odd shapes. Constants of every type that Core ML's ops take, in the program and in weight.bin.
void fill_sample(SampleProgram& program);

/// Deterministic contents of a plane: small finite reals, integers with clean padding bits.
[[nodiscard]] std::vector<std::byte> plane_bytes(const d2c_plane& plane, unsigned seed);

/// The host that objects under test talk to. Its log is kept.
class SampleHost {
 public:
  SampleHost();
  [[nodiscard]] Host host() const { return Host(c_); }
  [[nodiscard]] const std::vector<std::string>& log() const { return log_; }

 private:
  std::vector<std::string> log_;
  d2c_host c_{};
};

/// A folder that is removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Name, version and the rest, with two metadata entries and two attachments.
[[nodiscard]] const d2c_package_info& sample_info();

/// Writes all planes in order and finishes.
void write_package(const d2c_program& program, const std::filesystem::path& package);

[[nodiscard]] std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& bytes);

}  // namespace d2c::coreml_writer
