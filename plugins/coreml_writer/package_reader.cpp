#include "plugins/coreml_writer/package_reader.hpp"

#include "libs/coreml_spec/package_files.hpp"
#include "libs/mil_cpu/stored.hpp"
#include "plugins/coreml_writer/package_description.hpp"

#include <algorithm>

namespace d2c::coreml_writer {

CoreMLReader::CoreMLReader(const Config& options)
    : path_(options.require_text("path")), description_(describe_package(path_)) {}

int CoreMLReader::probe(const char* path) { return coreml::probe_package(path); }

void CoreMLReader::load_weights() const {
  package_ = mil_cpu::load_package(path_);
  for (const Value& weight : description_.at("weights").items()) {
    const std::string& name = weight.at("name").as_text();
    const std::string& user = weight.at("functions").items().front().as_text();
    const auto function = std::find_if(package_.functions.begin(), package_.functions.end(),
                                       [&](const mil_cpu::Function& f) { return f.name == user; });
    if (function == package_.functions.end()) fail_input(path_ + ": function '" + user + "' is missing");
    const auto value =
        std::find_if(function->values.begin(), function->values.end(),
                     [&](const mil_cpu::ProgramValue& v) { return v.name == name && v.stored != nullptr; });
    if (value == function->values.end())
      fail_input(path_ + ": function '" + user + "' has no constant '" + name + "' that can be read");
    weights_.push_back(value->stored);
  }
}

void CoreMLReader::rows(std::size_t index, std::int64_t first, std::int64_t count, float* out) const {
  std::call_once(loaded_, [this] { load_weights(); });
  const mil_cpu::Stored& stored = *weights_.at(index);
  const std::int64_t all = stored.type.shape.empty() ? 1 : rows_of(stored.type.shape);
  if (first < 0 || count < 0 || first > all - count)
    fail(Code::plugin, path_ + ": rows " + std::to_string(first) + " to " + std::to_string(first + count) +
                           " of a weight with " + std::to_string(all));
  mil_cpu::expand_rows(stored, first, count, out);
}

}  // namespace d2c::coreml_writer
