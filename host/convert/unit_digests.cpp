#include "host/convert/unit_digests.hpp"

#include "host/platform/files.hpp"
#include "libs/digest/sha256.hpp"
#include "libs/json/json.hpp"

#include <filesystem>

namespace d2c::host {
namespace {

/// What tells a file from others.
std::string identity_of(const std::string& file, Identity where) {
  if (where == Identity::here) return file + " " + file_identity(file);
  std::error_code ignored;
  const std::filesystem::path path(file);
  return path.filename().string() + " " + std::to_string(std::filesystem::file_size(path, ignored));
}

}  // namespace

Value source_identity(const Source& source, std::size_t index, Identity where) {
  const TensorInfo& tensor = source.tensors()[index];
  const std::vector<std::string> files = source.files();
  Value::List identity{source.plugin().sha256(), tensor.name, tensor.type.text()};
  if (tensor.file < files.size()) identity.push_back(identity_of(files[tensor.file], where));
  return identity;
}

Value stack_identity(const AdapterStack& stack, const Recipe& recipe, Identity where) {
  Value::List identity{stack.merger().plugin().sha256(), recipe.combination_of(stack.name()), recipe.combine.tied,
                       json::dump(recipe.combine.options), stack.summary()};
  for (const std::string& file : stack.files()) identity.push_back(identity_of(file, where));
  for (const AdapterSection& adapter : recipe.adapters)
    if (adapter.stack == stack.name()) identity.push_back(json::dump(Value(adapter.weight)));
  return identity;
}

namespace {

/// How and where the weight is stored.
Value storage_identity(const PlannedWeight& weight, std::size_t index, const Assembly& assembly) {
  Value v = Value::list();
  v.push_back(weight.layout.label);
  if (!weight.dense()) {
    v.push_back(weight.quantizer->quantizer.plugin().sha256());
    v.push_back(weight.quantizer->options);
  }
  const auto& writer = assembly.writer();
  for (std::size_t p = 0; p < weight.layout.plane_count; ++p) {
    d2c_blob blob{};
    writer.check(writer->blob(writer->self, index, p, &blob));
    v.push_back(TensorType::from_c(weight.layout.planes[p].type).text());
    v.push_back(std::string(blob.file) + "@" + std::to_string(blob.offset));
  }
  return v;
}

}  // namespace

std::vector<std::string> unit_digests(const Recipe& recipe, const Assembly& assembly, Identity where) {
  std::vector<std::string> digests;
  for (std::size_t i = 0; i < assembly.weights().size(); ++i) {
    const PlannedWeight& w = *assembly.weights()[i];
    Value identity = Value::table();
    identity.set("key", w.key);
    identity.set("storage", storage_identity(w, i, assembly));
    if (w.max_overflow != 0) identity.set("max_overflow", w.max_overflow);
    if (w.source != nullptr) identity.set("source", source_identity(*w.source, w.source_tensor, where));
    if (w.source != nullptr) {
      const bool by_files = where == Identity::anywhere && !w.source->files().empty();
      identity.set("model", Value(Value::List{by_files ? std::string() : recipe.model.source, recipe.model.options}));
    }
    if (w.merged != nullptr) identity.set("stack", stack_identity(*w.merged, recipe, where));
    digests.push_back(sha256_of(json::dump(identity)));
  }
  return digests;
}

}  // namespace d2c::host
