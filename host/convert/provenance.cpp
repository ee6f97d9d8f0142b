#include "host/convert/provenance.hpp"

#include "host/convert/unit_digests.hpp"
#include "host/platform/files.hpp"
#include "host/stop/stop.hpp"
#include "libs/digest/sha256.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <filesystem>

namespace d2c::host {
Provenance::Provenance(const Recipe& recipe, const Assembly& assembly)
    : assembly_(assembly), recipe_(publishable(recipe)) {
  const ModelInputs& inputs = assembly.inputs();
  add_inputs(inputs.model->files(), "model");
  if (inputs.encoder_model) add_inputs(inputs.encoder_model->files(), "encoder");
  for (const AdapterStack* stack : {inputs.chat.get(), inputs.encoder.get()})
    if (stack != nullptr) add_inputs(stack->files(), "adapter:" + stack->name());
}

void Provenance::add_inputs(const std::vector<std::string>& files, const std::string& purpose) {
  for (const std::string& file : files) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error) fail_input(file + ": " + error.message());
    inputs_.push_back({file, purpose, size, file_identity(file), {}});
  }
}

std::vector<std::function<void()>> Provenance::work() {
  std::vector<std::function<void()>> work;
  for (Input& input : inputs_)
    work.push_back(
        [&input] { input.sha256 = sha256_of_file(input.path, [](std::size_t) { stop::throw_if_requested(); }); });
  return work;
}

void Provenance::check_unchanged() const {
  for (const Input& input : inputs_)
    if (file_identity(input.path) != input.identity)
      fail_input(input.path + ": changed while it was being converted; run again once it is complete");
}

Value Provenance::statement() const {
  Value inputs = Value::list();
  for (const Input& i : inputs_) {
    Value v = Value::table();
    v.set("purpose", i.purpose);
    v.set("name", std::filesystem::path(i.path).filename().string());
    v.set("size", i.size);
    v.set("sha256", i.sha256);
    inputs.push_back(std::move(v));
  }
  Value plugins = Value::list();
  for (const Plugin* p : assembly_.plugins()) {
    Value v = Value::table();
    v.set("name", p->name());
    v.set("version", p->entry().version);
    v.set("sha256", p->sha256());
    plugins.push_back(std::move(v));
  }
  Value statement = Value::table();
  statement.set("version", 1);
  statement.set("tool", std::string("dolphin2coreml ") + D2C_SDK_VERSION);
  statement.set("recipe_sha256", sha256_of(json::dump(recipe_)));
  statement.set("inputs", std::move(inputs));
  statement.set("plugins", std::move(plugins));
  return statement;
}

std::vector<Asset> Provenance::attachments() const {
  std::vector<Asset> files = assembly_.inputs().model->assets();
  files.push_back({"recipe.json", json::dump(recipe_, 2) + "\n"});
  files.push_back({"provenance.json", json::dump(statement(), 2) + "\n"});
  std::sort(files.begin(), files.end(), [](const Asset& a, const Asset& b) { return a.name < b.name; });
  return files;
}

}  // namespace d2c::host
