#include "plugins/coreml_writer/package_description.hpp"

#include "libs/coreml_spec/blob_file.hpp"
#include "libs/coreml_spec/model_file.hpp"
#include "libs/coreml_spec/package_files.hpp"
#include "libs/coreml_spec/values.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace d2c::coreml_writer {
namespace {

namespace fs = std::filesystem;
namespace spec = coreml::spec;
using Features = google::protobuf::RepeatedPtrField<spec::FeatureDescription>;

std::string type_text(const TensorType& type) {
  std::string text(name_of(type.dtype));
  for (std::size_t i = 0; i < type.shape.size(); ++i) {
    text += i == 0 ? '[' : ',';
    text += type.shape[i] < 0 ? "?" : std::to_string(type.shape[i]);
  }
  return text + (type.shape.empty() ? "[]" : "]");
}

bool is_constexpr(const spec::Operation& op) { return op.type().starts_with("constexpr_"); }
bool is_constant(const spec::Operation& op) { return op.type() == "const" || is_constexpr(op); }

/// Weights as they are found in the functions, each once: by the blobs that make it.
class WeightTable {
 public:
  struct Found {
    std::string key;  ///< of the blobs
    std::string name;
    TensorType type;
    std::string scheme;
    std::int64_t bits = 0;
    std::int64_t group_size = 0;
    std::uint64_t bytes = 0;
  };

  void add(Found found, const std::string& function) {
    const auto [at, is_new] = index_.try_emplace(found.key, entries_.size());
    if (is_new) entries_.push_back({std::move(found), {}});
    Value::List& functions = entries_[at->second].functions;
    if (functions.empty() || functions.back().as_text() != function) functions.emplace_back(function);
  }

  [[nodiscard]] Value describe() const {
    Value list = Value::list();
    for (const auto& [w, functions] : entries_) {
      list.push_back(Value::Table{{"name", w.name},
                                  {"shape", Value::List(w.type.shape.begin(), w.type.shape.end())},
                                  {"scheme", w.scheme},
                                  {"bits", w.bits},
                                  {"group_size", w.group_size},
                                  {"bytes", w.bytes},
                                  {"functions", functions}});
    }
    return list;
  }

 private:
  struct Entry {
    Found weight;
    Value::List functions;
  };
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

/// The weight files that a program refers to, opened once each.
class WeightFiles {
 public:
  explicit WeightFiles(const coreml::PackageFiles& files) : files_(files) {}

  coreml::BlobRecord find(const spec::BlobReference& reference, const TensorType& type, const std::string& where) {
    auto at = open_.find(reference.file());
    if (at == open_.end())
      at = open_.emplace(reference.file(), coreml::BlobFile(files_.weight_file(reference.file()))).first;
    return at->second.find(reference.offset(), type, where);
  }

  [[nodiscard]] std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const auto& [name, file] : open_) sum += file.size();
    return sum;
  }

 private:
  const coreml::PackageFiles& files_;
  std::map<std::string, coreml::BlobFile> open_;
};

/// A value bound inside an op: a constant's value or a constexpr's parameter.
struct Parameter {
  std::string_view name;
  TensorType type;
  const spec::Value* value;  ///< null: bound by name to the result of an earlier op
};

/// What scheme, bits and group size follow from.
struct Storage {
  std::string scheme;
  std::int64_t bits = 0;
  std::int64_t group_size = 0;
};

const TensorType* find_type(std::span<const Parameter> parameters, std::string_view name) {
  const auto found = std::ranges::find(parameters, name, &Parameter::name);
  return found == parameters.end() ? nullptr : &found->type;
}

/// Elements along the first axis that `coarse` divides, or all of the last axis where it divides none.
std::int64_t block_size(const Shape& fine, std::span<const std::int64_t> coarse, const std::string& where) {
  std::optional<std::int64_t> block;
  if (fine.size() != coarse.size())
    fail_input(where + ": " + to_string(fine) + " and " + to_string(coarse) + " differ in rank");
  for (std::size_t a = 0; a < fine.size(); ++a) {
    if (coarse[a] <= 0 || fine[a] % coarse[a] != 0)
      fail_input(where + ": " + to_string(fine) + " does not divide into blocks " + to_string(coarse));
    if (!block && coarse[a] > 1 && coarse[a] < fine[a]) block = fine[a] / coarse[a];
  }
  return block ? *block : fine.empty() ? 0 : fine.back() / coarse.back();
}

Storage palette_storage(const TensorType& indices, const TensorType& lut, const TensorType& result,
                        const std::string& where) {
  const std::size_t rank = indices.shape.size();
  const int bits = bits_of(indices.dtype);
  if (index_dtype(bits) != indices.dtype || lut.shape.size() != rank + 2 || lut.shape[rank] != std::int64_t{1} << bits)
    fail_input(where + ": palette " + lut.text() + " does not serve indices " + indices.text());
  const std::span<const std::int64_t> groups(lut.shape.data(), rank);
  Storage storage{"palette", bits, block_size(indices.shape, groups, where)};
  if (std::ranges::all_of(groups, [](std::int64_t n) { return n == 1; })) storage.group_size = 0;
  const std::int64_t width = lut.shape.back();
  const auto elements = checked_count(result.shape);
  if (lut.dtype != result.dtype || !elements || width <= 0 || *elements % width != 0 ||
      *elements / width != indices.count())
    fail_input(where + ": " + indices.text() + " with palette " + lut.text() + " does not make " + result.text());
  return storage;
}

Storage blockwise_storage(const TensorType& data, const TensorType& scale, const TensorType& result,
                          const std::string& where) {
  if (data.shape != result.shape || scale.dtype != result.dtype)
    fail_input(where + ": " + data.text() + " with scale " + scale.text() + " does not make " + result.text());
  return {"blockwise", bits_of(data.dtype), block_size(data.shape, scale.shape, where)};
}

Storage storage_of(const spec::Operation& op, std::span<const Parameter> parameters, const TensorType& result,
                   std::uint64_t bytes, const std::string& where) {
  if (op.type() == "const") return {"dense", bits_of(result.dtype), 0};
  const TensorType* indices = find_type(parameters, "indices");
  const TensorType* lut = find_type(parameters, "lut");
  const bool has_inputs = op.inputs_size() > 0;  // before CoreML8 parameters were attributes of other shapes
  if (op.type() == "constexpr_lut_to_dense" && has_inputs && indices != nullptr && lut != nullptr)
    return palette_storage(*indices, *lut, result, where);
  const TensorType* data = find_type(parameters, "data");
  const TensorType* scale = find_type(parameters, "scale");
  if (op.type() == "constexpr_blockwise_shift_scale" && data != nullptr && scale != nullptr)
    return blockwise_storage(*data, *scale, result, where);
  const auto elements = static_cast<std::uint64_t>(std::max<std::int64_t>(result.count(), 1));
  return {op.type().substr(std::string_view("constexpr_").size()),
          static_cast<std::int64_t>(bytes / elements * 8 + bytes % elements * 8 / elements), 0};
}

/// One function's body: follows its values, checks what is stored and collects weights and counts.
class FunctionReader {
 public:
  FunctionReader(std::string name, const spec::Function& function, WeightFiles& files, WeightTable& weights,
                 const std::string& where)
      : name_(std::move(name)),
        function_(function),
        files_(files),
        weights_(weights),
        where_(where + ": function '" + name_ + "'") {}

  Value read(const Features& inputs, const Features& states, const Features& outputs) {
    const auto block = function_.blocks().find(function_.opset());
    if (block == function_.blocks().end())
      fail_input(where_ + ": has no body for its opset '" + function_.opset() + "'");
    for (const spec::NamedType& input : function_.inputs()) types_[input.name()] = &input.type();
    read_block(block->second);
    Value counts = Value::table();
    for (const auto& [type, n] : counts_) counts.set(type, n);
    if (inputs.size() + states.size() != function_.inputs_size())
      fail_input(where_ + ": not all of its inputs and states are described");
    const auto& results = block->second.outputs();
    if (outputs.size() != results.size()) fail_input(where_ + ": not all of its outputs are described");
    return Value::Table{{"name", name_},
                        {"inputs", features(inputs, input_names(false), "input")},
                        {"states", features(states, input_names(true), "state")},
                        {"outputs", features(outputs, {results.begin(), results.end()}, "output")},
                        {"ops", ops_},
                        {"op_counts", counts}};
  }

 private:
  using Names = std::unordered_set<std::string_view>;

  [[nodiscard]] Names input_names(bool states) const {
    Names names;
    for (const spec::NamedType& input : function_.inputs())
      if (input.type().has_state() == states) names.insert(input.name());
    return names;
  }

  void read_block(const spec::Block& block) {
    for (const spec::Operation& op : block.operations()) {
      ++counts_[op.type()];
      if (!is_constant(op)) ++ops_;
      for (const spec::NamedType& result : op.outputs()) types_[result.name()] = &result.type();
      read_values(op);
      for (const spec::Block& inner : op.blocks()) read_block(inner);
    }
  }

  [[nodiscard]] std::string where(const spec::Operation& op) const {
    return where_ + ", " + op.type() + (op.outputs().empty() ? std::string() : " '" + op.outputs(0).name() + "'");
  }

  /// Checks every value in the op; what a constant has in a weight file becomes a weight.
  void read_values(const spec::Operation& op) {
    const std::vector<Parameter> parameters = parameters_of(op);
    WeightTable::Found found;
    for (const Parameter& p : parameters) {
      if (p.value == nullptr) continue;
      if (!p.value->has_blob()) {
        (void)coreml::immediate_bytes(*p.value, where(op));  // refuses contents that do not fit their type
        continue;
      }
      const coreml::BlobRecord record = files_.find(p.value->blob(), p.type, where(op));
      found.key += p.value->blob().file() + '@' + std::to_string(record.offset) + ';';
      found.bytes += record.size;
    }
    if (found.key.empty() || !is_constant(op)) return;
    if (op.outputs().empty()) fail_input(where(op) + ": has no result");
    const spec::NamedType& result = *op.outputs().rbegin();
    found.name = result.name();
    found.type = coreml::tensor_type(result.type(), where(op));
    if (!checked_count(found.type.shape)) fail_input(where(op) + ": impossible shape " + to_string(found.type.shape));
    check_constant_type(op, parameters, found.type);
    const Storage storage = storage_of(op, parameters, found.type, found.bytes, where(op));
    found.scheme = storage.scheme;
    found.bits = storage.bits;
    found.group_size = storage.group_size;
    weights_.add(std::move(found), name_);
  }

  void check_constant_type(const spec::Operation& op, const std::vector<Parameter>& parameters,
                           const TensorType& result) {
    if (op.type() != "const") return;
    const TensorType* value = find_type(parameters, "val");
    if (value == nullptr || *value != result)
      fail_input(where(op) + ": its value is not the declared " + result.text());
  }

  /// Sorted by name, so that the same op always gives the same list.
  std::vector<Parameter> parameters_of(const spec::Operation& op) const {
    std::vector<Parameter> out;
    for (const auto& [name, value] : op.attributes())
      out.push_back({name, coreml::value_type(value, where(op)), &value});
    for (const auto& [name, argument] : op.inputs()) {
      for (const spec::Binding& binding : argument.bindings()) {
        if (binding.has_value())
          out.push_back({name, coreml::value_type(binding.value(), where(op)), &binding.value()});
        else if (is_constexpr(op)) out.push_back({name, type_of(binding.name(), where(op)), nullptr});
      }
    }
    std::ranges::stable_sort(out, {}, &Parameter::name);
    return out;
  }

  [[nodiscard]] TensorType type_of(const std::string& value, const std::string& where) const {
    const auto found = types_.find(value);
    if (found == types_.end()) fail_input(where + ": '" + value + "' is not defined");
    return coreml::tensor_type(*found->second, where + ": '" + value + "'");
  }

  Value features(const Features& described, Names names, const std::string& what) const {
    Value list = Value::list();
    for (const spec::FeatureDescription& feature : described) {
      const std::string where = where_ + ": " + what + " '" + feature.name() + "'";
      if (names.erase(feature.name()) == 0) fail_input(where + ": is described, but the program has no such " + what);
      const TensorType type = type_of(feature.name(), where);
      check_described(feature.type(), type, where);
      list.push_back(Value::Table{{"name", feature.name()}, {"type", type_text(type)}});
    }
    return list;
  }

  static void check_described(const spec::FeatureType& described, const TensorType& type, const std::string& where) {
    if (!described.has_array() && !described.state().has_array()) return;  // an image, say
    const spec::ArrayType& array = described.has_array() ? described.array() : described.state().array();
    const Shape shape = type.shape.empty() ? Shape{1} : type.shape;
    const auto agree = [](std::int64_t of_description, std::int64_t of_program) {
      return of_program == coreml::kUnknownDimension || of_program == of_description;
    };
    // Outputs of unknown shape are described without one.
    if (array.shape_size() > 0 && !std::ranges::equal(array.shape(), shape, agree))
      fail_input(where + ": is described as " + to_string(Shape(array.shape().begin(), array.shape().end())) +
                 ", the program says " + type_text(type));
  }

  std::string name_;
  const spec::Function& function_;
  WeightFiles& files_;
  WeightTable& weights_;
  std::string where_;
  std::unordered_map<std::string_view, const spec::ValueType*> types_;
  std::map<std::string, std::int64_t> counts_;
  std::int64_t ops_ = 0;
};

std::uint64_t bytes_below(const fs::path& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return fs::file_size(path, error);
  std::uint64_t sum = 0;
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file(error)) sum += at->file_size(error);
  return sum;
}

Value describe_items(const coreml::PackageFiles& files) {
  Value list = Value::list();
  for (const coreml::PackageItem& item : files.items) {
    list.push_back(Value::Table{{"path", item.path},
                                {"author", item.author},
                                {"name", item.name},
                                {"description", item.description},
                                {"bytes", bytes_below(files.root / "Data" / item.path)}});
  }
  return list;
}

Value describe_metadata(const spec::Metadata& metadata) {
  Value table = Value::table();
  const std::map<std::string, std::string> sorted(metadata.entries().begin(), metadata.entries().end());
  for (const auto& [key, value] : sorted) table.set(key, value);
  return table;
}

/// A model without a list of functions describes its only one, "main", at the top.
spec::ModelDescription with_functions(spec::ModelDescription description) {
  if (description.functions_size() > 0) return description;
  spec::FunctionDescription& main = *description.add_functions();
  main.set_name("main");
  main.mutable_inputs()->Swap(description.mutable_inputs());
  main.mutable_states()->Swap(description.mutable_states());
  main.mutable_outputs()->Swap(description.mutable_outputs());
  description.set_default_function("main");
  return description;
}

}  // namespace

Value describe_package(const fs::path& root) {
  const coreml::PackageFiles files = coreml::open_package(root);
  const spec::Model model = coreml::parse_model(files.model);
  const std::string where = files.model.string();
  const spec::ModelDescription description = with_functions(model.description());
  const auto& program = model.program().functions();
  if (static_cast<std::size_t>(description.functions_size()) != program.size())
    fail_input(where + ": describes " + std::to_string(description.functions_size()) +
               " functions, but its program has " + std::to_string(program.size()));

  WeightFiles weight_files(files);
  WeightTable weights;
  Value functions = Value::list();
  std::unordered_set<std::string_view> names;
  for (const spec::FunctionDescription& f : description.functions()) {
    const auto found = program.find(f.name());
    if (found == program.end() || !names.insert(f.name()).second)
      fail_input(where + ": describes function '" + f.name() +
                 "', which its program does not have or which was described before");
    functions.push_back(FunctionReader(f.name(), found->second, weight_files, weights, where)
                            .read(f.inputs(), f.states(), f.outputs()));
  }
  if (!names.contains(description.default_function()))
    fail_input(where + ": its default function '" + description.default_function() + "' does not exist");

  const spec::Metadata& metadata = description.metadata();
  return Value::Table{{"format", "mlpackage"},
                      {"specification_version", model.specification_version()},
                      {"default_function", description.default_function()},
                      {"functions", functions},
                      {"weights", weights.describe()},
                      {"weight_bytes", weight_files.bytes()},
                      {"description", metadata.description()},
                      {"author", metadata.author()},
                      {"license", metadata.license()},
                      {"version", metadata.version()},
                      {"metadata", describe_metadata(metadata)},
                      {"items", describe_items(files)}};
}

}  // namespace d2c::coreml_writer
