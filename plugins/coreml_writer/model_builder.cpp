#include "plugins/coreml_writer/model_builder.hpp"

#include "libs/coreml_spec/model_file.hpp"
#include "libs/coreml_spec/values.hpp"

#include <vector>

namespace d2c::coreml_writer {
namespace {

namespace spec = coreml::spec;

const char* or_empty(const char* text) { return text == nullptr ? "" : text; }

void set_blob(const TensorType& type, const coreml::BlobRecord& record, spec::Value& out) {
  coreml::set_tensor_type(type, *out.mutable_type());
  out.mutable_blob()->set_file(std::string("@model_path/") + kWeightFile);
  out.mutable_blob()->set_offset(record.offset);
}

/// Builds the body of one function. Constants and weights are emitted once, right before the op that first uses them.
class BodyBuilder {
 public:
  BodyBuilder(const ProgramView& program, const BlobPlan& blobs, const d2c_function& function, spec::Block& body)
      : program_(program), blobs_(blobs), function_(function), body_(body), emitted_(function.node_count) {}

  void build() {
    for (const d2c_op& op : ops_of(function_)) add_op(op);
    for (const d2c_value_id id : outputs_of(function_)) body_.add_outputs(node(id).name);
  }

 private:
  [[nodiscard]] const d2c_node& node(d2c_value_id id) const { return function_.nodes[id]; }

  void add_op(const d2c_op& op) {
    for (const d2c_argument& argument : arguments_of(op))
      for (const d2c_value_id id : values_of(argument)) emit(id);
    spec::Operation& out = new_operation(op.type, op.name);
    for (const d2c_argument& argument : arguments_of(op)) {
      spec::Argument& bindings = (*out.mutable_inputs())[argument.name];
      for (const d2c_value_id id : values_of(argument)) bindings.add_bindings()->set_name(node(id).name);
    }
    for (const d2c_value_id id : results_of(op)) add_result(out, node(id));
  }

  void emit(d2c_value_id id) {
    if (emitted_[id]) return;
    emitted_[id] = true;
    if (node(id).kind == D2C_NODE_CONSTANT) add_constant(node(id));
    if (node(id).kind == D2C_NODE_WEIGHT) add_weight(node(id));
  }

  void add_constant(const d2c_node& n) {
    spec::Operation& out = new_operation("const", n.name);
    const TensorType type = TensorType::from_c(n.type);
    spec::Value& value = (*out.mutable_attributes())["val"];
    if (const coreml::BlobRecord* record = blobs_.constant(n.index)) set_blob(type, *record, value);
    else coreml::set_immediate(type, data_of(program_.constants()[n.index]), value);
    add_result(out, n);
  }

  void add_weight(const d2c_node& n) {
    const WeightForm& form = program_.form(n.index);
    const bool is_const = std::string_view(form.op) == "const";
    spec::Operation& out = new_operation(form.op, n.name);
    for (const WeightForm::Parameter& p : form.parameters) {
      spec::Value& value = is_const ? (*out.mutable_attributes())[p.name] : inline_input(out, p.name);
      set_blob(p.type, blobs_.plane(n.index, p.plane), value);
    }
    if (form.vector_axis) set_scalar(*form.vector_axis, inline_input(out, "vector_axis"));
    add_result(out, n);
  }

  static spec::Value& inline_input(spec::Operation& op, const char* parameter) {
    return *(*op.mutable_inputs())[parameter].add_bindings()->mutable_value();
  }

  static void set_scalar(std::int32_t number, spec::Value& out) {
    coreml::set_immediate({DType::i32, {}}, std::as_bytes(std::span(&number, 1)), out);
  }

  spec::Operation& new_operation(const char* type, const std::string& name) {
    spec::Operation& op = *body_.add_operations();
    op.set_type(type);
    coreml::set_immediate({DType::string, {}}, std::as_bytes(std::span(name.c_str(), name.size() + 1)),
                          (*op.mutable_attributes())["name"]);
    return op;
  }

  static void add_result(spec::Operation& op, const d2c_node& n) {
    spec::NamedType& result = *op.add_outputs();
    result.set_name(n.name);
    coreml::set_tensor_type(TensorType::from_c(n.type), *result.mutable_type());
  }

  const ProgramView& program_;
  const BlobPlan& blobs_;
  const d2c_function& function_;
  spec::Block& body_;
  std::vector<bool> emitted_;
};

spec::Function build_function(const ProgramView& program, const BlobPlan& blobs, const d2c_function& function,
                              const std::string& opset) {
  spec::Function out;
  out.set_opset(opset);
  for (const d2c_node& n : nodes_of(function)) {
    if (n.kind != D2C_NODE_INPUT && n.kind != D2C_NODE_STATE) continue;
    spec::NamedType& input = *out.add_inputs();
    input.set_name(n.name);
    const bool is_state = n.kind == D2C_NODE_STATE;
    spec::ValueType& type =
        is_state ? *input.mutable_type()->mutable_state()->mutable_wrapped() : *input.mutable_type();
    coreml::set_tensor_type(TensorType::from_c(n.type), type);
  }
  BodyBuilder(program, blobs, function, (*out.mutable_blocks())[opset]).build();
  return out;
}

spec::ArrayElement element_of(DType dtype) {
  switch (dtype) {
    case DType::f16: return spec::FLOAT16;
    case DType::f32: return spec::FLOAT32;
    default: return spec::INT32;
  }
}

void describe_array(const TensorType& type, spec::ArrayType& out) {
  out.mutable_shape()->Add(type.shape.begin(), type.shape.end());
  out.set_element(element_of(type.dtype));
}

void describe_node(const d2c_node& n, spec::FunctionDescription& out) {
  TensorType type = TensorType::from_c(n.type);
  if (n.kind == D2C_NODE_STATE) {
    spec::FeatureDescription& state = *out.add_states();
    state.set_name(n.name);
    describe_array(type, *state.mutable_type()->mutable_state()->mutable_array());
  } else if (n.kind == D2C_NODE_INPUT) {
    if (type.shape.empty()) type.shape = {1};  // Core ML has no arrays of rank 0
    spec::FeatureDescription& input = *out.add_inputs();
    input.set_name(n.name);
    describe_array(type, *input.mutable_type()->mutable_array());
  }
}

void describe_function(const d2c_function& function, spec::FunctionDescription& out) {
  out.set_name(function.name);
  for (const d2c_node& n : nodes_of(function)) describe_node(n, out);
  for (const d2c_value_id id : outputs_of(function)) {
    const d2c_node& n = function.nodes[id];
    spec::FeatureDescription& output = *out.add_outputs();
    output.set_name(n.name);
    describe_array(TensorType::from_c(n.type), *output.mutable_type()->mutable_array());
  }
}

void set_metadata(const d2c_package_info& info, spec::Metadata& out) {
  out.set_description(or_empty(info.description));
  out.set_version(or_empty(info.version));
  out.set_author(or_empty(info.author));
  out.set_license(or_empty(info.license));
  for (std::size_t i = 0; i < info.metadata_count; ++i)
    (*out.mutable_entries())[info.metadata[i].key] = info.metadata[i].value;
}

}  // namespace

std::string build_model(const ProgramView& program, const BlobPlan& blobs, const Deployment& deployment,
                        const d2c_package_info& info) {
  spec::Model model;
  model.set_specification_version(deployment.specification_version);
  spec::ModelDescription& description = *model.mutable_description();
  description.set_default_function(program.default_function());
  set_metadata(info, *description.mutable_metadata());
  model.mutable_program()->set_version(1);
  auto& functions = *model.mutable_program()->mutable_functions();
  for (const d2c_function* function : program.functions()) {
    describe_function(*function, *description.add_functions());
    functions[function->name] = build_function(program, blobs, *function, deployment.opset);
  }
  return coreml::serialize_model(model);
}

}  // namespace d2c::coreml_writer
