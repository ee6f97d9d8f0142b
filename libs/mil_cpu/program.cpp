#include "libs/mil_cpu/program.hpp"

#include "libs/coreml_spec/blob_file.hpp"
#include "libs/coreml_spec/model_file.hpp"
#include "libs/coreml_spec/package_files.hpp"
#include "libs/coreml_spec/values.hpp"
#include "libs/mil_cpu/stored.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <unordered_map>

namespace d2c::mil_cpu {
namespace {

namespace spec = coreml::spec;
using Features = google::protobuf::RepeatedPtrField<spec::FeatureDescription>;

/// The weight files that a program refers to, checked and mapped once each.
class WeightFiles {
 public:
  WeightFiles(const coreml::PackageFiles& files, Package& package) : files_(files), package_(package) {}

  std::span<const std::byte> bytes(const spec::BlobReference& reference, const TensorType& type,
                                   const std::string& where) {
    auto at = open_.find(reference.file());
    if (at == open_.end()) at = open_.emplace(reference.file(), open(files_.weight_file(reference.file()))).first;
    const coreml::BlobRecord record = at->second.table.find(reference.offset(), type, where);
    return at->second.bytes.subspan(record.data_offset(), record.size);
  }

 private:
  struct Open {
    coreml::BlobFile table;
    std::span<const std::byte> bytes;
  };

  Open open(const std::filesystem::path& path) {
    Open open{coreml::BlobFile(path), {}};
    const auto& file = package_.files.emplace_back(std::make_unique<MappedFile>(path));
    if (file->bytes().size() != open.table.size()) fail_input(path.string() + " changes while it is opened; try again");
    open.bytes = file->bytes();
    package_.weight_bytes += open.bytes.size();
    return open;
  }

  const coreml::PackageFiles& files_;
  Package& package_;
  std::map<std::string, Open> open_;
};

class FunctionLoader {
 public:
  FunctionLoader(std::string name, const spec::Function& from, WeightFiles& files, const std::string& where)
      : from_(from), files_(files), where_(where + ": function '" + name + "'") {
    function_.name = std::move(name);
  }

  Function load() {
    const auto block = from_.blocks().find(from_.opset());
    if (block == from_.blocks().end()) fail_input(where_ + ": has no body for its opset '" + from_.opset() + "'");
    for (const spec::NamedType& input : from_.inputs()) add_input(input);
    for (const spec::Operation& op : block->second.operations()) add_operation(op);
    for (const std::string& output : block->second.outputs()) function_.outputs.push_back(find(output, where_));
    if (function_.outputs.empty()) fail_input(where_ + ": has no outputs");
    return std::move(function_);
  }

 private:
  void add_input(const spec::NamedType& input) {
    const bool is_state = input.type().has_state();
    const ValueId id = define({input.name(), is_state ? ProgramValue::Kind::state : ProgramValue::Kind::input,
                               computed_type(input.type(), where_ + ": input '" + input.name() + "'"), nullptr},
                              where_);
    (is_state ? function_.states : function_.inputs).push_back(id);
  }

  /// A type of numbers that exist while running.
  static TensorType computed_type(const spec::ValueType& type, const std::string& where) {
    TensorType t = static_type(type, where);
    if (t.count() == 0 || bits_of(t.dtype) < 8) fail_input(where + ": " + t.text() + " is not supported here");
    return t;
  }

  static TensorType static_type(const spec::ValueType& type, const std::string& where) {
    TensorType t = coreml::tensor_type(type, where);
    if (std::ranges::find(t.shape, coreml::kUnknownDimension) != t.shape.end())
      fail_input(where + ": has dimensions that only run time knows; this runner needs static shapes");
    if (t.shape.size() > D2C_MAX_RANK) fail_input(where + ": rank " + std::to_string(t.shape.size()) + " is too high");
    if (!checked_count(t.shape) || *checked_count(t.shape) > kMaxElements)
      fail_input(where + ": impossible shape " + to_string(t.shape));
    return t;
  }

  void add_operation(const spec::Operation& op) {
    std::string name = op.outputs_size() > 0 ? op.outputs(0).name() : "";
    const std::string where = where_ + ": " + op.type() + " '" + name + "'";
    if (op.blocks_size() > 0) fail_input(where + ": nested blocks are not supported");
    if (op.type() == "const") return add_const(op, where);
    if (op.type().starts_with("constexpr_")) return add_constexpr(op, where);
    Operation out{op.type(), std::move(name), {}, {}};
    for (const auto& [parameter, argument] : op.inputs()) {
      std::vector<ValueId>& ids = out.arguments[parameter];
      for (const spec::Binding& binding : argument.bindings())
        ids.push_back(bind(binding, where + ": '" + parameter + "'"));
      if (ids.empty()) fail_input(where + ": '" + parameter + "' is bound to nothing");
    }
    for (const spec::NamedType& result : op.outputs())
      out.results.push_back(
          define({result.name(), ProgramValue::Kind::result, computed_type(result.type(), where), nullptr}, where));
    function_.operations.push_back(std::move(out));
  }

  ValueId bind(const spec::Binding& binding, const std::string& where) {
    if (binding.has_name()) return find(binding.name(), where);
    if (!binding.has_value()) fail_input(where + ": is bound to nothing");
    const auto stored = dense(binding.value(), where);
    function_.values.push_back({"", ProgramValue::Kind::constant, stored->type, stored});
    return function_.values.size() - 1;
  }

  std::shared_ptr<Stored> dense(const spec::Value& value, const std::string& where) {
    auto stored = std::make_shared<Stored>();
    stored->type = stored->data_type = coreml::value_type(value, where);
    if (value.has_blob()) {
      stored->data = files_.bytes(value.blob(), stored->type, where);
    } else {
      stored->owned = coreml::immediate_bytes(value, where);
      stored->data = stored->owned;
    }
    return stored;
  }

  void add_const(const spec::Operation& op, const std::string& where) {
    const auto value = op.attributes().find("val");
    if (value == op.attributes().end() || op.outputs_size() != 1 || op.inputs_size() != 0)
      fail_input(where + ": a const has one value, one result and no inputs");
    add_constant(op.outputs(0), dense(value->second, where), where);
  }

  /// Parameters are inputs since iOS 18 and attributes before.
  void add_constexpr(const spec::Operation& op, const std::string& where) {
    if (op.outputs_size() != 1) fail_input(where + ": has " + std::to_string(op.outputs_size()) + " results");
    ConstexprArguments arguments;
    for (const auto& [parameter, argument] : op.inputs()) {
      if (argument.bindings_size() != 1) fail_input(where + ": '" + parameter + "' takes one value");
      const ValueId id = bind(argument.bindings(0), where + ": '" + parameter + "'");
      if (function_.values[id].stored == nullptr) fail_input(where + ": '" + parameter + "' is not a constant");
      arguments[parameter] = function_.values[id].stored;
    }
    for (const auto& [parameter, value] : op.attributes())
      if (parameter != "name") arguments.emplace(parameter, dense(value, where + ": '" + parameter + "'"));
    add_constant(op.outputs(0), expand_constexpr(op.type(), arguments, where), where);
  }

  void add_constant(const spec::NamedType& result, std::shared_ptr<const Stored> stored, const std::string& where) {
    const TensorType declared = static_type(result.type(), where);
    if (declared != stored->type)
      fail_input(where + ": is declared " + declared.text() + ", holds " + stored->type.text());
    define({result.name(), ProgramValue::Kind::constant, declared, std::move(stored)}, where);
  }

  ValueId define(ProgramValue value, const std::string& where) {
    if (value.name.empty()) fail_input(where + ": has a result without a name");
    if (!names_.emplace(value.name, function_.values.size()).second)
      fail_input(where + ": defines '" + value.name + "' a second time");
    function_.values.push_back(std::move(value));
    return function_.values.size() - 1;
  }

  ValueId find(const std::string& name, const std::string& where) const {
    const auto at = names_.find(name);
    if (at == names_.end()) fail_input(where + ": uses '" + name + "', which is not defined before it");
    return at->second;
  }

  const spec::Function& from_;
  WeightFiles& files_;
  std::string where_;
  Function function_;
  std::unordered_map<std::string, ValueId> names_;
};

/// Names that the description gives must be the program's: callers learn of them from there.
void check_described(const Function& f, const std::vector<ValueId>& ids, const Features& described, const char* what,
                     const std::string& where) {
  std::set<std::string> have, want;
  for (const ValueId id : ids) have.insert(f.values[id].name);
  for (const spec::FeatureDescription& d : described) want.insert(d.name());
  if (have != want)
    fail_input(where + ": function '" + f.name + "': its " + what + " are not the ones that the model describes");
}

void check_described(const Function& f, const spec::ModelDescription& d, const std::string& where) {
  for (const spec::FunctionDescription& described : d.functions()) {
    if (described.name() != f.name) continue;
    check_described(f, f.inputs, described.inputs(), "inputs", where);
    check_described(f, f.states, described.states(), "states", where);
    return check_described(f, f.outputs, described.outputs(), "outputs", where);
  }
  if (d.functions_size() > 0) fail_input(where + ": function '" + f.name + "' is not described");
  check_described(f, f.inputs, d.inputs(), "inputs", where);
  check_described(f, f.states, d.states(), "states", where);
  check_described(f, f.outputs, d.outputs(), "outputs", where);
}

/// Functions share states by name, so what one name means must not differ.
void check_states(const std::vector<Function>& functions, const std::string& where) {
  std::map<std::string, TensorType> seen;
  for (const Function& f : functions) {
    for (const ValueId id : f.states) {
      const ProgramValue& state = f.values[id];
      if (state.type.dtype != DType::f16 && state.type.dtype != DType::f32)
        fail_input(where + ": function '" + f.name + "': state '" + state.name + "' is " + state.type.text());
      const auto [at, is_new] = seen.emplace(state.name, state.type);
      if (!is_new && at->second != state.type)
        fail_input(where + ": state '" + state.name + "' is " + at->second.text() + " in one function and " +
                   state.type.text() + " in another");
    }
  }
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0) {
    const std::string reason = std::strerror(errno);
    if (fd >= 0) ::close(fd);
    fail_input(path.string() + ": " + reason);
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  void* data = size == 0 ? nullptr : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  ::close(fd);
  if (data == MAP_FAILED) fail(Code::resource, path.string() + ": cannot be mapped: " + std::strerror(error));
  bytes_ = {static_cast<const std::byte*>(data), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Signature Function::signature() const {
  const auto features = [&](const std::vector<ValueId>& ids) {
    std::vector<Feature> out;
    for (const ValueId id : ids) out.push_back({values[id].name, values[id].type});
    return out;
  };
  return {name, features(inputs), features(states), features(outputs)};
}

Package load_package(const std::filesystem::path& root) {
  const coreml::PackageFiles files = coreml::open_package(root);
  const spec::Model model = coreml::parse_model(files.model);
  const std::string where = root.string();
  Package package;
  WeightFiles weights(files, package);
  for (const auto& [name, function] : model.program().functions()) {
    package.functions.push_back(FunctionLoader(name, function, weights, where).load());
    check_described(package.functions.back(), model.description(), where);
  }
  if (package.functions.empty()) fail_input(where + ": has no functions");
  check_states(package.functions, where);
  std::ranges::sort(package.functions, {}, [&](const Function& f) {
    return std::pair(f.name != model.description().default_function(), f.name);
  });
  for (const auto& [key, value] : model.description().metadata().entries()) package.metadata[key] = value;
  return package;
}

}  // namespace d2c::mil_cpu
