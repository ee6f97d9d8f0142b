#include "tests/unit/mil_cpu/sample_package.hpp"

#include "libs/coreml_spec/blob_file.hpp"
#include "libs/coreml_spec/model_file.hpp"
#include "libs/coreml_spec/values.hpp"
#include "libs/mil_cpu/feature_io.hpp"

#include <unistd.h>

#include <atomic>
#include <fstream>

namespace d2c::mil_cpu::test {
namespace {

namespace fs = std::filesystem;
namespace spec = coreml::spec;

constexpr const char* kOpset = "CoreML8";

fs::path scratch_folder() {
  struct Folder {
    fs::path path = fs::temp_directory_path() / ("d2c_mil_cpu_" + std::to_string(::getpid()));
    ~Folder() {
      std::error_code error;
      fs::remove_all(path, error);
    }
  };
  static const Folder folder;
  return folder.path;
}

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

constexpr std::string_view kManifest =
    R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "m", "itemInfoEntries": {
  "m": {"path": "com.apple.CoreML/model.mlmodel", "name": "model.mlmodel", "author": "com.apple.CoreML", "description": ""},
  "w": {"path": "com.apple.CoreML/weights", "name": "weights", "author": "com.apple.CoreML", "description": ""}}})";

void set_value(const Constant& constant, spec::Value& out) { coreml::set_immediate(constant.type, constant.data, out); }

spec::FeatureDescription describe(const std::string& name, const TensorType& type, bool is_state) {
  spec::FeatureDescription d;
  d.set_name(name);
  spec::ArrayType& array =
      is_state ? *d.mutable_type()->mutable_state()->mutable_array() : *d.mutable_type()->mutable_array();
  for (const std::int64_t n : type.shape) array.add_shape(n);
  return d;
}

}  // namespace

Constant f32(Shape shape, std::initializer_list<float> values) {
  return Constant::reals(DType::f32, std::move(shape), {values.begin(), values.size()});
}

Constant f16(Shape shape, std::initializer_list<float> values) {
  return Constant::reals(DType::f16, std::move(shape), {values.begin(), values.size()});
}

Constant packed(DType dtype, Shape shape, std::span<const int> values) {
  Constant c{{dtype, std::move(shape)}, {}};
  c.data.resize(static_cast<std::size_t>(c.type.bytes()));
  const auto bits = static_cast<std::size_t>(bits_of(dtype));
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t b = 0; b < bits; ++b)
      if ((values[i] >> b & 1) != 0) c.data[(i * bits + b) / 8] |= std::byte{1} << ((i * bits + b) % 8);
  return c;
}

// ---------------------------------------------------------------- functions

spec::Block& FunctionBuilder::block() {
  return (*(*package_.model.mutable_program()->mutable_functions())[name_].mutable_blocks())[kOpset];
}

spec::FunctionDescription& FunctionBuilder::description() { return package_.describe(name_); }

spec::Operation& FunctionBuilder::add(const std::string& type, const std::vector<std::string>& names,
                                      const std::vector<TensorType>& results) {
  spec::Operation& op = *block().add_operations();
  op.set_type(type);
  for (std::size_t i = 0; i < results.size(); ++i) {
    spec::NamedType& out = *op.add_outputs();
    out.set_name(names[i]);
    coreml::set_tensor_type(results[i], *out.mutable_type());
    types_[names[i]] = results[i];
  }
  set_value(Constant::text(names.empty() ? "op" : names[0]), (*op.mutable_attributes())["name"]);
  return op;
}

std::string FunctionBuilder::input(const std::string& name, const TensorType& type) {
  spec::NamedType& in = *(*package_.model.mutable_program()->mutable_functions())[name_].add_inputs();
  in.set_name(name);
  coreml::set_tensor_type(type, *in.mutable_type());
  *description().add_inputs() = describe(name, type, false);
  types_[name] = type;
  return name;
}

std::string FunctionBuilder::state(const std::string& name, const TensorType& type) {
  spec::NamedType& in = *(*package_.model.mutable_program()->mutable_functions())[name_].add_inputs();
  in.set_name(name);
  coreml::set_tensor_type(type, *in.mutable_type()->mutable_state()->mutable_wrapped());
  *description().add_states() = describe(name, type, true);
  types_[name] = type;
  return name;
}

std::string FunctionBuilder::constant(const std::string& name, const Constant& value) {
  set_value(value, (*add("const", {name}, {value.type}).mutable_attributes())["val"]);
  return name;
}

std::string FunctionBuilder::weight(const std::string& name, const Constant& value) {
  spec::Value& out = (*add("const", {name}, {value.type}).mutable_attributes())["val"];
  coreml::set_tensor_type(value.type, *out.mutable_type());
  out.mutable_blob()->set_file("@model_path/weights/weight.bin");
  out.mutable_blob()->set_offset(package_.add_blob(value));
  return name;
}

std::string FunctionBuilder::op(const std::string& type, const std::string& name, const TensorType& result,
                                const std::vector<Argument>& arguments) {
  return ops(type, name, {result}, arguments).front();
}

std::vector<std::string> FunctionBuilder::ops(const std::string& type, const std::string& name,
                                              const std::vector<TensorType>& results,
                                              const std::vector<Argument>& arguments) {
  std::map<std::string, std::vector<std::string>> bound;
  for (const Argument& a : arguments)
    bound[a.parameter] = a.constant ? std::vector{constant(name + "_" + a.parameter, *a.constant)} : a.names;
  std::vector<std::string> names{name};
  for (std::size_t i = 1; i < results.size(); ++i) names.push_back(name + "_" + std::to_string(i));
  spec::Operation& added = add(type, names, results);
  for (const auto& [parameter, values] : bound)
    for (const std::string& value : values) (*added.mutable_inputs())[parameter].add_bindings()->set_name(value);
  return names;
}

std::string FunctionBuilder::constexpr_op(const std::string& type, const std::string& name, const TensorType& result,
                                          const std::vector<Argument>& arguments, bool in_file) {
  spec::Operation& added = add(type, {name}, {result});
  for (const Argument& a : arguments) {
    spec::Binding& binding = *(*added.mutable_inputs())[a.parameter].add_bindings();
    if (!a.constant) {
      binding.set_name(a.names.front());
    } else if (in_file && a.constant->type.count() > 1) {
      coreml::set_tensor_type(a.constant->type, *binding.mutable_value()->mutable_type());
      binding.mutable_value()->mutable_blob()->set_file("@model_path/weights/weight.bin");
      binding.mutable_value()->mutable_blob()->set_offset(package_.add_blob(*a.constant));
    } else {
      set_value(*a.constant, *binding.mutable_value());
    }
  }
  return name;
}

std::string FunctionBuilder::attribute_constexpr(const std::string& type, const std::string& name,
                                                 const TensorType& result, const std::vector<Argument>& arguments) {
  spec::Operation& added = add(type, {name}, {result});
  set_value(Constant::text(name), (*added.mutable_attributes())["name"]);
  for (const Argument& a : arguments) set_value(*a.constant, (*added.mutable_attributes())[a.parameter]);
  return name;
}

void FunctionBuilder::output(const std::string& name) {
  block().add_outputs(name);
  *description().add_outputs() = describe(name, types_[name], false);
}

// ---------------------------------------------------------------- packages

PackageBuilder::PackageBuilder() : weights(coreml::kBlobAlignment) {
  model.set_specification_version(9);
  model.mutable_program()->set_version(1);
}

FunctionBuilder PackageBuilder::function(const std::string& name) {
  (*model.mutable_program()->mutable_functions())[name].set_opset(kOpset);
  if (model.description().functions_size() == 0) model.mutable_description()->set_default_function(name);
  (void)describe(name);
  return {*this, name};
}

spec::FunctionDescription& PackageBuilder::describe(const std::string& function) {
  for (spec::FunctionDescription& d : *model.mutable_description()->mutable_functions())
    if (d.name() == function) return d;
  spec::FunctionDescription& added = *model.mutable_description()->add_functions();
  added.set_name(function);
  return added;
}

void PackageBuilder::metadata(const std::string& key, const std::string& value) {
  (*model.mutable_description()->mutable_metadata()->mutable_entries())[key] = value;
}

std::uint64_t PackageBuilder::add_blob(const Constant& value) {
  weights.resize((weights.size() + coreml::kBlobAlignment - 1) / coreml::kBlobAlignment * coreml::kBlobAlignment);
  coreml::BlobLayout layout;
  coreml::BlobRecord record = layout.add(value.type);
  record.offset = weights.size();
  const coreml::BlobBlock block = coreml::encode_blob_record(record);
  weights.insert(weights.end(), block.begin(), block.end());
  weights.insert(weights.end(), value.data.begin(), value.data.end());
  const coreml::BlobBlock header = coreml::encode_blob_header(++blobs_);
  std::copy(header.begin(), header.end(), weights.begin());
  return record.offset;
}

fs::path PackageBuilder::write() const {
  static std::atomic<int> count = 0;
  const fs::path root = scratch_folder() / (std::to_string(count++) + ".mlpackage");
  const fs::path inner = root / "Data/com.apple.CoreML";
  fs::create_directories(inner / "weights");
  write_file(root / "Manifest.json", std::as_bytes(std::span(kManifest)));
  const std::string program = coreml::serialize_model(model);
  write_file(inner / "model.mlmodel", std::as_bytes(std::span(program)));
  if (blobs_ > 0) write_file(inner / "weights/weight.bin", weights);
  return root;
}

// ---------------------------------------------------------------- calls

Bytes bytes_of(const Constant& value) { return value.data; }

std::map<std::string, Bytes> call(Runner& runner, const std::string& function, RunnerState* state,
                                  const std::map<std::string, Constant>& inputs) {
  std::map<std::string, Bytes> in, out;
  for (const auto& [name, value] : inputs) in[name] = bytes_of(value);
  for (const Signature& s : runner.signatures())
    if (s.function == function)
      for (const Feature& f : s.outputs) out[f.name].resize(static_cast<std::size_t>(f.type.bytes()));
  std::vector<Buffer> given, wanted;
  for (auto& [name, bytes] : in) given.push_back({name, bytes});
  for (auto& [name, bytes] : out) wanted.push_back({name, bytes});
  runner.call(function, state, given, wanted);
  return out;
}

std::vector<float> numbers(DType dtype, const Bytes& bytes) {
  const std::size_t count = bytes.size() * 8 / static_cast<std::size_t>(bits_of(dtype));
  std::vector<float> out(count);
  widen_feature(dtype, bytes.data(), count, out.data());
  if (dtype == DType::f16 || dtype == DType::f32) return out;
  for (float& v : out) {
    std::int32_t whole;
    std::memcpy(&whole, &v, sizeof whole);
    v = static_cast<float>(whole);
  }
  return out;
}

}  // namespace d2c::mil_cpu::test
